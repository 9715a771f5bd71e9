//! From scores to what the service says about a ticket: emotions, urgency and signals, each with how sure it is.

use std::ops::Range;

pub mod interpret;
pub mod labels;

pub use interpret::{Interpreter, Reading};
pub use labels::{Emotion, Intensity, Signal, Urgency};

/// How the customer feels and how soon someone must act.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// Strongest first; never empty: without any feeling, [`Emotion::Neutral`] alone.
    pub emotions: Vec<Scored<Emotion>>,
    /// The emotion that should shape the first sentence; one of `emotions`.
    pub primary: Emotion,
    /// How strong the feeling is.
    pub intensity: Intensity,
    /// The level with the least expected cost.
    pub urgency: Scored<Urgency>,
    /// Expected urgency from 0 (low) to 1 (critical).
    pub urgency_score: f32,
    /// Probability of each urgency level, low first; sums to 1.
    pub urgency_probabilities: [f32; 4],
    /// Surest first.
    pub signals: Vec<Scored<Signal>>,
}

/// A label with its calibrated probability.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Scored<L> {
    /// The label.
    pub label: L,
    /// Calibrated probability, 0 to 1.
    pub score: f32,
    /// How far the score lies from where the decision would flip.
    pub confidence: Confidence,
}

/// How sure an answer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Confidence {
    /// Better let a person judge.
    Low,
    /// Clear of the threshold.
    Medium,
    /// Far from the threshold.
    High,
}

/// A sentence that speaks for part of the answer.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Which message of the ticket, from 0.
    pub message: usize,
    /// The sentence's bytes in that message's text as received.
    pub range: Range<usize>,
    /// What it speaks for.
    pub supports: Claim,
    /// The probability the sentence has by itself, 0 to 1.
    pub score: f32,
}

/// A part of an assessment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim {
    /// An emotion.
    Emotion(Emotion),
    /// The urgency level.
    Urgency(Urgency),
    /// A signal.
    Signal(Signal),
}

impl Assessment {
    /// The same answer with every confidence low: for text the model was not trained for.
    #[must_use]
    pub fn doubted(mut self) -> Self {
        self.emotions.iter_mut().for_each(|emotion| emotion.confidence = Confidence::Low);
        self.signals.iter_mut().for_each(|signal| signal.confidence = Confidence::Low);
        self.urgency.confidence = Confidence::Low;
        self
    }

    /// Everything the assessment says that a sentence could speak for.
    pub fn claims(&self) -> impl Iterator<Item = Claim> + '_ {
        let emotions = self.emotions.iter().map(|emotion| emotion.label);
        let emotions = emotions.filter(|emotion| *emotion != Emotion::Neutral).map(Claim::Emotion);
        let signals = self.signals.iter().map(|signal| Claim::Signal(signal.label));
        emotions.chain([Claim::Urgency(self.urgency.label)]).chain(signals)
    }
}
