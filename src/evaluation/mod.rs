//! How good answers are: metrics from pairs of what should have been answered and what was. Pure arithmetic.
//!
//! Wherever a definition would divide by zero, the value is 0.

use serde::Serialize;
use strum::VariantArray;

use self::{calibration::Outcome, multi_label::Counts};
use crate::assessment::{Assessment, Emotion, Intensity, Signal, Urgency};

pub mod calibration;
pub mod interval;
pub mod multi_label;
pub mod ordinal;

pub use calibration::Calibration;
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
#[derive(Debug, Clone, PartialEq)]
pub struct Pair {
    /// What should have been said.
    pub gold: Labels,
    /// What was said.
    pub predicted: Labels,
    /// How probable each emotion and signal of `predicted` was called, and whether gold has it.
    labels: Vec<Outcome>,
    /// How probable the urgency of `predicted` was called, and whether it is gold's.
    urgency: Outcome,
    /// How probable it was called that this is critical.
    critical: f64,
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
    /// 95 % bootstrap interval of the emotions' micro F1.
    pub emotion_micro_f1_interval: interval::Interval,
    /// Whether the probabilities of the emotions and signals that were said to hold are right.
    pub label_calibration: Calibration,
    /// Whether the probability of the urgency that was said is right.
    pub urgency_calibration: Calibration,
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

impl Pair {
    /// What should have been said beside what was.
    pub fn new(gold: Labels, said: &Assessment) -> Self {
        let emotions = said.emotions.iter().map(|found| (found.score, gold.emotions.contains(&found.label)));
        let signals = said.signals.iter().map(|found| (found.score, gold.signals.contains(&found.label)));
        let outcome = |(said, so)| Outcome { said: f64::from(said), so };
        Self {
            labels: emotions.chain(signals).map(outcome).collect(),
            urgency: outcome((said.urgency.score, said.urgency.label == gold.urgency)),
            critical: f64::from(said.urgency_probabilities[Urgency::Critical as usize]),
            predicted: Labels::from(said),
            gold,
        }
    }

    fn urgency(&self) -> ordinal::Level {
        ordinal::Level { gold: self.gold.urgency, predicted: self.predicted.urgency, critical: self.critical }
    }
}

impl TicketScores {
    /// Over all `pairs`.
    pub fn of(pairs: &[Pair]) -> Self {
        let right = pairs.iter().filter(|pair| pair.gold.primary == pair.predicted.primary).count();
        let distance = |pair: &Pair| u64::from(pair.gold.intensity.level().abs_diff(pair.predicted.intensity.level()));
        let distances: u64 = pairs.iter().map(distance).sum();
        let emotions: Vec<_> =
            pairs.iter().map(|pair| Counts::of(&pair.gold.emotions, &pair.predicted.emotions)).collect();
        Self {
            emotion: label_scores(pairs, |labels| &labels.emotions),
            primary: PrimaryScores { accuracy: ratio(right as f64, pairs.len() as f64) },
            intensity: IntensityScores { mae: ratio(distances as f64, pairs.len() as f64) },
            urgency: UrgencyScores::of(&pairs.iter().map(Pair::urgency).collect::<Vec<_>>()),
            signal: label_scores(pairs, |labels| &labels.signals),
            emotion_micro_f1_interval: interval::bootstrap(&emotions, |sample| {
                sample.iter().fold(Counts::default(), |total, counts| total + **counts).scores().f1
            }),
            label_calibration: Calibration::of(&pairs.iter().map(|pair| pair.labels.clone()).collect::<Vec<_>>()),
            urgency_calibration: Calibration::of(&pairs.iter().map(|pair| vec![pair.urgency]).collect::<Vec<_>>()),
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
    use crate::assessment::{Confidence, Scored};

    fn labels(emotions: &[Emotion], intensity: Intensity, urgency: Urgency, signals: &[Signal]) -> Labels {
        Labels { primary: emotions[0], emotions: emotions.to_vec(), intensity, urgency, signals: signals.to_vec() }
    }

    fn said(emotions: &[Emotion], intensity: Intensity, urgency: Urgency, signals: &[Signal]) -> Assessment {
        let mut urgency_probabilities = [0.25 / 3.0; 4];
        urgency_probabilities[urgency as usize] = 0.75;
        Assessment {
            emotions: emotions.iter().map(|label| scored(*label)).collect(),
            primary: emotions[0],
            intensity,
            urgency: scored(urgency),
            urgency_score: 0.5,
            urgency_probabilities,
            signals: signals.iter().map(|label| scored(*label)).collect(),
        }
    }

    fn scored<L>(label: L) -> Scored<L> {
        Scored { label, score: 0.75, confidence: Confidence::High }
    }

    #[test]
    fn every_group_is_scored() {
        use {Emotion::*, Intensity::*};
        let pairs = [
            Pair::new(
                labels(&[Anger, Anxiety], Extreme, Urgency::High, &[Signal::Deadline]),
                &said(&[Anger], Mild, Urgency::Critical, &[]),
            ),
            Pair::new(
                labels(&[Neutral], Intensity::None, Urgency::Low, &[]),
                &said(&[Gratitude], Mild, Urgency::Low, &[Signal::Praise]),
            ),
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
        // One of three labels holds, one of two levels is right, all said with 0.75.
        assert_eq!(scores.label_calibration.n, 3);
        assert!((scores.label_calibration.ece - (0.75 - 1.0 / 3.0)).abs() < 1e-12);
        assert!((scores.urgency_calibration.ece - 0.25).abs() < 1e-12);
    }

    #[test]
    fn nothing_scores_zero() {
        let scores = TicketScores::of(&[]);
        assert_eq!((scores.emotion.macro_f1, scores.primary.accuracy, scores.intensity.mae), (0.0, 0.0, 0.0));
        assert_eq!((scores.urgency.qwk, scores.urgency.macro_f1), (0.0, 0.0));
    }
}
