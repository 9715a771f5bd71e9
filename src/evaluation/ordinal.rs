//! Metrics of the urgency level, where being far off is worse than being near.

use serde::{Serialize, Serializer, ser::SerializeMap};
use strum::VariantArray;

use super::{
    interval::{Interval, bootstrap, wilson},
    multi_label::Counts,
    ratio,
};
use crate::assessment::Urgency;

const LEVELS: usize = Urgency::VARIANTS.len();

/// Share of items that a desk looks at first, for [`UrgencyScores::critical_recall_at_tenth`].
const CAPACITY: f64 = 0.1;

/// The urgency of one item.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Level {
    /// What should have been said.
    pub gold: Urgency,
    /// What was said.
    pub predicted: Urgency,
    /// How probable it was called that the item is critical.
    pub critical: f64,
}

/// How good the urgency is.
#[derive(Debug, Clone, Serialize)]
pub struct UrgencyScores {
    /// Cohen's kappa with quadratic weights: 1 minus the mean squared distance in levels over the one to expect if both
    /// sides kept how often they say each level but said it at random. 1 is perfect, 0 is chance, below 0 worse.
    pub qwk: f64,
    /// Its 95 % bootstrap interval.
    pub qwk_interval: Interval,
    /// Mean distance in levels, 0 to 3.
    pub mae: f64,
    /// Mean F1 of the levels that occur in gold.
    pub macro_f1: f64,
    /// Share of items with exactly the right level.
    pub accuracy: f64,
    /// Share of items predicted less urgent than they are.
    pub under_triage: f64,
    /// Items that are critical.
    pub critical_n: u64,
    /// Of the critical items, the share predicted critical.
    pub critical_recall: f64,
    /// Its 95 % Wilson interval.
    pub critical_recall_interval: Interval,
    /// Of the items predicted critical, the share that is.
    pub critical_precision: f64,
    /// Its 95 % Wilson interval.
    pub critical_precision_interval: Interval,
    /// A desk looks at the tenth of all items that are called critical with the highest probability: of the critical items
    /// that fit into that tenth, the share it finds.
    pub critical_recall_at_tenth: f64,
    /// How often each level (first key) was predicted as each (second key).
    pub confusion: Confusion,
}

/// `[gold][predicted]`, levels from low to critical.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Confusion(pub [[u64; LEVELS]; LEVELS]);

impl UrgencyScores {
    /// Over all `items`.
    pub fn of(items: &[Level]) -> Self {
        let confusion = Confusion::of(items.iter());
        let levels: [_; LEVELS] = std::array::from_fn(|level| confusion.counts(level).scores());
        let occurring: Vec<f64> = levels.iter().filter(|level| level.n > 0).map(|level| level.f1).collect();
        let right: u64 = (0..LEVELS).map(|level| confusion.0[level][level]).sum();
        let critical = levels[Urgency::Critical as usize];
        let counts = confusion.counts(Urgency::Critical as usize);
        Self {
            qwk: confusion.quadratic_weighted_kappa(),
            qwk_interval: bootstrap(items, |sample| Confusion::of(sample.iter().copied()).quadratic_weighted_kappa()),
            mae: ratio(confusion.sum(|gold, predicted| gold.abs_diff(predicted)), confusion.total()),
            macro_f1: ratio(occurring.iter().sum(), occurring.len() as f64),
            accuracy: ratio(right as f64, confusion.total()),
            under_triage: ratio(confusion.sum(|gold, predicted| usize::from(predicted < gold)), confusion.total()),
            critical_n: critical.n,
            critical_recall: critical.recall,
            critical_recall_interval: wilson(counts.hits, counts.hits + counts.misses),
            critical_precision: critical.precision,
            critical_precision_interval: wilson(counts.hits, counts.hits + counts.false_alarms),
            critical_recall_at_tenth: recall_at_capacity(items),
            confusion,
        }
    }
}

fn recall_at_capacity(items: &[Level]) -> f64 {
    let mut ranked = items.to_vec();
    ranked.sort_by(|left, right| right.critical.total_cmp(&left.critical));
    let critical = |items: &[Level]| items.iter().filter(|item| item.gold == Urgency::Critical).count() as f64;
    let seen = ((items.len() as f64 * CAPACITY).round() as usize).max(1).min(items.len());
    ratio(critical(&ranked[..seen]), critical(&ranked).min(seen as f64))
}

impl Confusion {
    fn of<'a>(items: impl Iterator<Item = &'a Level>) -> Self {
        let mut confusion = Self::default();
        for item in items {
            confusion.0[item.gold as usize][item.predicted as usize] += 1;
        }
        confusion
    }

    /// The sum over all items of `weight(gold, predicted)`.
    fn sum(&self, weight: impl Fn(usize, usize) -> usize) -> f64 {
        let rows = self.0.iter().enumerate();
        let cells = rows.flat_map(|(gold, row)| row.iter().enumerate().map(move |(predicted, n)| (gold, predicted, n)));
        cells.map(|(gold, predicted, n)| (weight(gold, predicted) as u64 * n) as f64).sum()
    }

    fn gold(&self, level: usize) -> u64 {
        self.0[level].iter().sum()
    }

    fn predicted(&self, level: usize) -> u64 {
        self.0.iter().map(|row| row[level]).sum()
    }

    fn total(&self) -> f64 {
        self.0.iter().flatten().sum::<u64>() as f64
    }

    fn counts(&self, level: usize) -> Counts {
        let hits = self.0[level][level];
        Counts { hits, false_alarms: self.predicted(level) - hits, misses: self.gold(level) - hits }
    }

    /// 0 where it is not defined: when both sides say the same single level throughout.
    fn quadratic_weighted_kappa(&self) -> f64 {
        let (mut observed, mut expected) = (0.0, 0.0);
        for gold in 0..LEVELS {
            for predicted in 0..LEVELS {
                let weight = gold.abs_diff(predicted).pow(2) as f64;
                observed += weight * self.0[gold][predicted] as f64;
                expected += weight * self.gold(gold) as f64 * self.predicted(predicted) as f64;
            }
        }
        let expected = ratio(expected, self.total());
        if expected == 0.0 { 0.0 } else { 1.0 - observed / expected }
    }
}

impl Serialize for Confusion {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Row<'a>(&'a [u64; LEVELS]);
        impl Serialize for Row<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(Urgency::VARIANTS.iter().map(<&str>::from).zip(self.0))
            }
        }
        let mut map = serializer.serialize_map(Some(LEVELS))?;
        for (level, row) in Urgency::VARIANTS.iter().zip(&self.0) {
            map.serialize_entry(<&str>::from(level), &Row(row))?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Urgency::{Critical, High, Low, Normal};

    fn scores(pairs: &[(Urgency, Urgency)]) -> UrgencyScores {
        let level = |(gold, predicted): &(Urgency, Urgency)| Level {
            gold: *gold,
            predicted: *predicted,
            critical: if *predicted == Critical { 0.9 } else { 0.1 },
        };
        UrgencyScores::of(&pairs.iter().map(level).collect::<Vec<_>>())
    }

    #[test]
    fn perfect_agreement_is_one() {
        let scores = scores(&[(Low, Low), (Normal, Normal), (Critical, Critical)]);
        assert_eq!((scores.qwk, scores.macro_f1, scores.accuracy), (1.0, 1.0, 1.0));
        assert_eq!((scores.critical_recall, scores.critical_precision), (1.0, 1.0));
    }

    #[test]
    fn kappa_by_hand() {
        // Observed squared distances: 0 + 1 + 0 + 9 = 10. Gold says low, low, high, critical; predicted low, normal,
        // high, low. Expected: each gold level against each predicted one, over 4 items:
        // low (2 times): 0 + 1 + 4 + 0 = 5, high: 4 + 1 + 0 + 4 = 9, critical: 9 + 4 + 1 + 9 = 23; (10 + 9 + 23) / 4.
        let scores = scores(&[(Low, Low), (Low, Normal), (High, High), (Critical, Low)]);
        assert!((scores.qwk - (1.0 - 10.0 / 10.5)).abs() < 1e-12);
        assert_eq!(scores.accuracy, 0.5);
        // Low: 1 hit, 1 false alarm, 1 miss. High: perfect. Critical: missed. Normal does not occur.
        assert!((scores.macro_f1 - 0.5).abs() < 1e-12);
        assert_eq!((scores.critical_recall, scores.critical_precision), (0.0, 0.0));
    }

    #[test]
    fn critical_by_hand() {
        let scores = scores(&[(Critical, Critical), (Critical, High), (High, Critical), (Critical, Critical)]);
        assert!((scores.critical_recall - 2.0 / 3.0).abs() < 1e-12);
        assert!((scores.critical_precision - 2.0 / 3.0).abs() < 1e-12);
    }

    #[test]
    fn misses_and_distances_by_hand() {
        let scores = scores(&[(Critical, Normal), (Low, High), (High, High), (Normal, Low)]);
        assert_eq!((scores.under_triage, scores.mae), (0.5, 1.25));
        assert_eq!((scores.critical_n, scores.critical_recall_interval[0]), (1, 0.0));
    }

    #[test]
    fn at_a_tenth_only_the_likeliest_are_seen() {
        let mut items = vec![Level { gold: Low, predicted: Low, critical: 0.1 }; 17];
        let critical = |critical| Level { gold: Critical, predicted: High, critical };
        items.extend([critical(0.4), critical(0.3), critical(0.05)]);
        // Two of twenty are seen, both critical; the third could not have been.
        assert_eq!(UrgencyScores::of(&items).critical_recall_at_tenth, 1.0);
        items.push(Level { gold: Normal, predicted: High, critical: 0.9 });
        assert_eq!(UrgencyScores::of(&items).critical_recall_at_tenth, 0.5);
        assert_eq!(UrgencyScores::of(&[]).critical_recall_at_tenth, 0.0);
    }

    #[test]
    fn one_level_throughout_has_no_kappa() {
        assert_eq!(scores(&[(Low, Low), (Low, Low)]).qwk, 0.0);
    }

    #[test]
    fn the_confusion_names_its_levels() {
        let json = serde_json::to_value(scores(&[(High, Critical)])).unwrap_or_default();
        assert_eq!(json["confusion"]["high"]["critical"], 1);
        assert_eq!(json["confusion"]["critical"]["high"], 0);
    }
}
