//! Metrics where any number of labels can hold for an item.

use std::ops::Add;

use serde::{Serialize, Serializer};

use super::ratio;

/// Labels that occur less often in gold are left out of [`MultiLabelScores::macro_f1_n30`]: their F1 is mostly chance.
const FREQUENT: u64 = 30;

/// How good the decisions about a group of labels are.
#[derive(Debug, Clone, Serialize)]
pub struct MultiLabelScores {
    /// Mean F1 of the labels that occur in gold, each counting the same. False alarms of other labels show in the
    /// micro F1 only.
    pub macro_f1: f64,
    /// The same over the labels that occur at least 30 times in gold; `None` when there is no such label.
    pub macro_f1_n30: Option<f64>,
    /// F1 over all decisions of all labels together.
    pub micro_f1: f64,
    /// Each label by itself, in the order of the group.
    #[serde(serialize_with = "as_map")]
    pub per_label: Vec<(String, LabelScores)>,
}

/// How good the decisions about one label are.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct LabelScores {
    /// Items that have it in gold.
    pub n: u64,
    /// Of the items predicted to have it, the share that has it.
    pub precision: f64,
    /// Of the items that have it, the share predicted to have it.
    pub recall: f64,
    /// Harmonic mean of both: 2 hits / (2 hits + false alarms + misses).
    pub f1: f64,
}

/// Outcomes of the decisions about one label.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counts {
    pub(super) hits: u64,
    pub(super) false_alarms: u64,
    pub(super) misses: u64,
}

impl Counts {
    /// Of the decisions about one item.
    pub(super) fn of<L: PartialEq>(gold: &[L], predicted: &[L]) -> Self {
        let hits = gold.iter().filter(|label| predicted.contains(label)).count();
        Self { hits: hits as u64, false_alarms: (predicted.len() - hits) as u64, misses: (gold.len() - hits) as u64 }
    }

    pub(super) fn scores(self) -> LabelScores {
        let [hits, false_alarms, misses] = [self.hits, self.false_alarms, self.misses].map(|count| count as f64);
        LabelScores {
            n: self.hits + self.misses,
            precision: ratio(hits, hits + false_alarms),
            recall: ratio(hits, hits + misses),
            f1: ratio(2.0 * hits, 2.0 * hits + false_alarms + misses),
        }
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            hits: self.hits + other.hits,
            false_alarms: self.false_alarms + other.false_alarms,
            misses: self.misses + other.misses,
        }
    }
}

impl MultiLabelScores {
    /// From pairs of gold and prediction, each saying for every label in `names` whether it holds.
    pub fn of(names: &[&str], pairs: impl Iterator<Item = (Vec<bool>, Vec<bool>)>) -> Self {
        let mut counts = vec![Counts::default(); names.len()];
        for (gold, predicted) in pairs {
            for (counts, decision) in counts.iter_mut().zip(gold.into_iter().zip(predicted)) {
                match decision {
                    (true, true) => counts.hits += 1,
                    (false, true) => counts.false_alarms += 1,
                    (true, false) => counts.misses += 1,
                    (false, false) => {}
                }
            }
        }
        let total = counts.iter().fold(Counts::default(), |total, counts| total + *counts);
        let scores = counts.iter().map(|counts| counts.scores());
        let per_label: Vec<_> = names.iter().map(|name| (*name).to_owned()).zip(scores).collect();
        Self {
            macro_f1: mean_f1(&per_label, 1).unwrap_or(0.0),
            macro_f1_n30: mean_f1(&per_label, FREQUENT),
            micro_f1: total.scores().f1,
            per_label,
        }
    }
}

/// The mean F1 of the labels that occur at least `least` times in gold.
fn mean_f1(per_label: &[(String, LabelScores)], least: u64) -> Option<f64> {
    let occurring: Vec<f64> =
        per_label.iter().filter(|(_, label)| label.n >= least).map(|(_, label)| label.f1).collect();
    (!occurring.is_empty()).then(|| occurring.iter().sum::<f64>() / occurring.len() as f64)
}

fn as_map<S: Serializer>(per_label: &[(String, LabelScores)], serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_map(per_label.iter().map(|(name, scores)| (name, scores)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(rows: &[(&str, &str)]) -> MultiLabelScores {
        let mask = |row: &str| row.chars().map(|mark| mark == '+').collect();
        MultiLabelScores::of(&["a", "b", "c"], rows.iter().map(|(gold, predicted)| (mask(gold), mask(predicted))))
    }

    #[test]
    fn counts_hits_false_alarms_and_misses() {
        let scores = scores(&[("+--", "+--"), ("+--", "++-"), ("+--", "---"), ("-+-", "++-")]);
        // a: 2 hits, 1 false alarm, 1 miss. b: 1 hit, 1 false alarm. c: never.
        let third = 2.0 / 3.0;
        assert_eq!(scores.per_label[0].1, LabelScores { n: 3, precision: third, recall: third, f1: 4.0 / 6.0 });
        assert_eq!(scores.per_label[1].1, LabelScores { n: 1, precision: 0.5, recall: 1.0, f1: third });
        assert_eq!(scores.per_label[2].1, LabelScores { n: 0, precision: 0.0, recall: 0.0, f1: 0.0 });
        assert!((scores.macro_f1 - third).abs() < 1e-12);
        // 3 hits, 2 false alarms, 1 miss.
        assert!((scores.micro_f1 - 6.0 / 9.0).abs() < 1e-12);
        assert_eq!(scores.macro_f1_n30, None);
    }

    #[test]
    fn a_label_that_is_only_predicted_counts_in_the_micro_f1_alone() {
        let scores = scores(&[("+--", "+-+")]);
        assert_eq!(scores.macro_f1, 1.0);
        assert!((scores.micro_f1 - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn rare_labels_are_left_out_of_the_mean_over_frequent_ones() {
        let mut rows = vec![("+--", "+--"); 30];
        rows.push(("-+-", "---"));
        let scores = scores(&rows);
        assert_eq!((scores.macro_f1, scores.macro_f1_n30), (0.5, Some(1.0)));
    }
}
