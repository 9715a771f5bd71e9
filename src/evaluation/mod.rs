//! How good answers are: metrics from pairs of what should have been answered and what was. Pure arithmetic.
//!
//! Wherever a definition would divide by zero, the value is 0.

use serde::Serialize;
use strum::VariantArray;

use crate::assessment::{Assessment, Emotion, Intensity, Signal, Urgency};

pub mod multi_label;
pub mod ordinal;

pub use multi_label::MultiLabelScores;
pub use ordinal::UrgencyScores;

/// What is said, or should be said, about one ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Labels {
    /// All emotions.
    pub emotions: Vec<Emotion>,
    /// The leading one.
    pub primary: Emotion,
    /// How strong.
    pub intensity: Intensity,
    /// How soon.
    pub urgency: Urgency,
    /// All signals.
    pub signals: Vec<Signal>,
}

/// Both sides of one ticket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pair {
    /// What should have been said.
    pub gold: Labels,
    /// What was said.
    pub predicted: Labels,
}

/// How good the answers about tickets are.
#[derive(Debug, Clone, Serialize)]
pub struct TicketScores {
    /// Which emotions.
    pub emotion: MultiLabelScores,
    /// The leading emotion.
    pub primary: PrimaryScores,
    /// How strong.
    pub intensity: IntensityScores,
    /// How soon.
    pub urgency: UrgencyScores,
    /// Which signals.
    pub signal: MultiLabelScores,
}

/// How good the leading emotion is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct PrimaryScores {
    /// Share of tickets where it is the right one.
    pub accuracy: f64,
}

/// How good the intensity is.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct IntensityScores {
    /// Mean distance in levels, 0 to 3.
    pub mae: f64,
}

impl From<&Assessment> for Labels {
    fn from(assessment: &Assessment) -> Self {
        Self {
            emotions: assessment.emotions.iter().map(|found| found.label).collect(),
            primary: assessment.primary,
            intensity: assessment.intensity,
            urgency: assessment.urgency.label,
            signals: assessment.signals.iter().map(|found| found.label).collect(),
        }
    }
}

impl TicketScores {
    /// Over all `pairs`.
    pub fn of(pairs: &[Pair]) -> Self {
        let right = pairs.iter().filter(|pair| pair.gold.primary == pair.predicted.primary).count();
        let distance = |pair: &Pair| u64::from(pair.gold.intensity.level().abs_diff(pair.predicted.intensity.level()));
        let distances: u64 = pairs.iter().map(distance).sum();
        Self {
            emotion: label_scores(pairs, |labels| &labels.emotions),
            primary: PrimaryScores { accuracy: ratio(right as f64, pairs.len() as f64) },
            intensity: IntensityScores { mae: ratio(distances as f64, pairs.len() as f64) },
            urgency: UrgencyScores::of(pairs.iter().map(|pair| (pair.gold.urgency, pair.predicted.urgency))),
            signal: label_scores(pairs, |labels| &labels.signals),
        }
    }
}

fn label_scores<L>(pairs: &[Pair], held: impl Fn(&Labels) -> &Vec<L>) -> MultiLabelScores
where
    L: VariantArray + PartialEq + Copy + Into<&'static str>,
{
    let names: Vec<&str> = L::VARIANTS.iter().map(|label| (*label).into()).collect();
    let mask = |labels: &Labels| L::VARIANTS.iter().map(|label| held(labels).contains(label)).collect::<Vec<_>>();
    MultiLabelScores::of(&names, pairs.iter().map(|pair| (mask(&pair.gold), mask(&pair.predicted))))
}

/// `part / whole`, 0 when the whole is 0.
fn ratio(part: f64, whole: f64) -> f64 {
    if whole == 0.0 { 0.0 } else { part / whole }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(emotions: &[Emotion], intensity: Intensity, urgency: Urgency, signals: &[Signal]) -> Labels {
        Labels { primary: emotions[0], emotions: emotions.to_vec(), intensity, urgency, signals: signals.to_vec() }
    }

    #[test]
    fn every_group_is_scored() {
        use {Emotion::*, Intensity::*};
        let pairs = [
            Pair {
                gold: labels(&[Anger, Anxiety], Extreme, Urgency::High, &[Signal::Deadline]),
                predicted: labels(&[Anger], Mild, Urgency::Critical, &[]),
            },
            Pair {
                gold: labels(&[Neutral], Intensity::None, Urgency::Low, &[]),
                predicted: labels(&[Gratitude], Mild, Urgency::Low, &[Signal::Praise]),
            },
        ];
        let scores = TicketScores::of(&pairs);
        // Anger 1, anxiety 0, neutral 0; gratitude does not occur in gold.
        assert!((scores.emotion.macro_f1 - 1.0 / 3.0).abs() < 1e-12);
        // One hit, one false alarm, two misses: 2 / (2 + 1 + 2).
        assert!((scores.emotion.micro_f1 - 0.4).abs() < 1e-12);
        assert_eq!(scores.primary.accuracy, 0.5);
        assert_eq!(scores.intensity.mae, 1.5);
        assert_eq!(scores.urgency.accuracy, 0.5);
        assert_eq!(scores.signal.micro_f1, 0.0);
    }

    #[test]
    fn nothing_scores_zero() {
        let scores = TicketScores::of(&[]);
        assert_eq!((scores.emotion.macro_f1, scores.primary.accuracy, scores.intensity.mae), (0.0, 0.0, 0.0));
        assert_eq!((scores.urgency.qwk, scores.urgency.macro_f1), (0.0, 0.0));
    }
}
