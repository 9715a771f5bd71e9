//! Calibrates logits and decides.

use strum::VariantArray;

use super::{Assessment, Claim, Confidence, Emotion, Intensity, Scored, Signal, Urgency};
use crate::model::{
    Bundle,
    bundle::{Group, UrgencyCosts},
};

/// Weight of a customer message relative to the next one: the latest counts 1, the one before it this, and so on.
///
/// Chosen, not measured: a calm "any news?" after "production is down" must keep some of the urgency, a "thank you, it
/// works" must not.
const OLDER_MESSAGE_WEIGHT: f32 = 0.25;

/// Distance from the threshold, in log-odds, below which a decision is of low, or of medium, confidence.
const LOW_CONFIDENCE: f32 = 0.5;
const MEDIUM_CONFIDENCE: f32 = 1.5;

/// Probability of the decided urgency from which on it is of medium, or of high, confidence.
const URGENCY_MEDIUM_CONFIDENCE: f32 = 0.5;
const URGENCY_HIGH_CONFIDENCE: f32 = 0.75;

/// Calibrated probabilities of one text, in the order of each label's variants.
#[derive(Debug, Clone, PartialEq)]
pub struct Reading {
    emotions: [f32; 12],
    intensities: [f32; 4],
    urgencies: [f32; 4],
    signals: [f32; 12],
}

/// Knows a bundle's columns, temperatures, thresholds and costs.
pub struct Interpreter {
    bundle: Bundle,
    emotion_thresholds: [f32; 12],
    signal_thresholds: [f32; 12],
}

impl Interpreter {
    /// For the scores of `bundle`.
    pub fn new(bundle: &Bundle) -> Self {
        let thresholds = |name: &str| {
            let mut array = [0.5; 12];
            if let Some((group, _)) = bundle.group(name) {
                array.iter_mut().zip(&group.thresholds).for_each(|(to, from)| *to = *from);
            }
            array
        };
        Self {
            emotion_thresholds: thresholds("emotion"),
            signal_thresholds: thresholds("signal"),
            bundle: bundle.clone(),
        }
    }

    /// Combines the logits of a text's windows into one row: a feeling or a signal anywhere in the text counts, and the
    /// most urgent and most intense window decides for the whole.
    pub fn combine(&self, windows: &[Vec<f32>]) -> Vec<f32> {
        let Some((first, rest)) = windows.split_first() else {
            return Vec::new();
        };
        let mut combined = first.clone();
        let mut start = 0;
        for group in &self.bundle.groups {
            let columns = start..start + group.labels.len();
            start = columns.end;
            for window in rest {
                if group.exclusive {
                    let level = |row: &[f32]| expected_level(&softmax(&row[columns.clone()], group.temperature));
                    if level(window) > level(&combined) {
                        combined[columns.clone()].copy_from_slice(&window[columns.clone()]);
                    }
                } else {
                    for column in columns.clone() {
                        let neutral = group.labels[column - columns.start] == "neutral";
                        let (left, right) = (combined[column], window[column]);
                        combined[column] = if neutral { left.min(right) } else { left.max(right) };
                    }
                }
            }
        }
        combined
    }

    /// The calibrated probabilities that `logits` stand for.
    pub fn read(&self, logits: &[f32]) -> Reading {
        let mut reading =
            Reading { emotions: [0.0; 12], intensities: [0.0; 4], urgencies: [0.0; 4], signals: [0.0; 12] };
        self.probabilities("emotion", logits, &mut reading.emotions);
        self.probabilities("intensity", logits, &mut reading.intensities);
        self.probabilities("urgency", logits, &mut reading.urgencies);
        self.probabilities("signal", logits, &mut reading.signals);
        reading
    }

    fn probabilities(&self, name: &str, logits: &[f32], to: &mut [f32]) {
        if let Some((group, columns)) = self.bundle.group(name) {
            to.copy_from_slice(&group_probabilities(group, &logits[columns]));
        }
    }

    /// For every label of group `name` whether it holds by the bundle's threshold; `None` when there is no such group.
    pub fn holds(&self, name: &str, logits: &[f32]) -> Option<Vec<bool>> {
        let (group, columns) = self.bundle.group(name)?;
        let probabilities = group_probabilities(group, &logits[columns]);
        Some(probabilities.iter().zip(&group.thresholds).map(|(p, threshold)| p >= threshold).collect())
    }

    /// One assessment from the readings of the customer's messages, oldest first; the latest counts most.
    pub fn assess(&self, readings: &[Reading]) -> Assessment {
        let reading = Reading::weighted(readings);
        let emotions = self.emotions(&reading);
        let primary = emotions[0].label;
        let intensity = if primary == Emotion::Neutral { Intensity::None } else { reading.intensity() };
        let (urgency, urgency_score) = self.urgency(&reading);
        Assessment {
            primary,
            intensity,
            urgency,
            urgency_score,
            urgency_probabilities: reading.urgencies,
            signals: decided(Signal::VARIANTS, &reading.signals, &self.signal_thresholds),
            emotions,
        }
    }

    /// The emotions that hold, never none.
    fn emotions(&self, reading: &Reading) -> Vec<Scored<Emotion>> {
        let feelings = Emotion::VARIANTS.len() - 1;
        let found = decided(
            &Emotion::VARIANTS[..feelings],
            &reading.emotions[..feelings],
            &self.emotion_thresholds[..feelings],
        );
        if !found.is_empty() {
            return found;
        }
        // Neutral is the absence of a feeling, so it is as sure as the nearest feeling is far from its threshold.
        let nearest = reading.emotions[..feelings]
            .iter()
            .zip(&self.emotion_thresholds)
            .map(|(score, threshold)| log_odds(*threshold) - log_odds(*score))
            .fold(f32::INFINITY, f32::min);
        vec![Scored {
            label: Emotion::Neutral,
            score: reading.emotions[feelings],
            confidence: Confidence::from_distance(nearest),
        }]
    }

    fn urgency(&self, reading: &Reading) -> (Scored<Urgency>, f32) {
        let level = cheapest(&reading.urgencies, &self.bundle.urgency_costs);
        let score = reading.urgencies[level];
        let confidence = match score {
            score if score >= URGENCY_HIGH_CONFIDENCE => Confidence::High,
            score if score >= URGENCY_MEDIUM_CONFIDENCE => Confidence::Medium,
            _ => Confidence::Low,
        };
        let label = Urgency::VARIANTS[level];
        (Scored { label, score, confidence }, expected_level(&reading.urgencies) / 3.0)
    }
}

impl Reading {
    /// The probability the text gives to `claim`.
    pub fn probability(&self, claim: Claim) -> f32 {
        match claim {
            Claim::Emotion(emotion) => self.emotions[emotion as usize],
            Claim::Urgency(urgency) => self.urgencies[urgency as usize],
            Claim::Signal(signal) => self.signals[signal as usize],
        }
    }

    fn weighted(readings: &[Reading]) -> Self {
        let mut total = Reading { emotions: [0.0; 12], intensities: [0.0; 4], urgencies: [0.0; 4], signals: [0.0; 12] };
        let mut weights = 0.0;
        let mut weight = 1.0;
        for reading in readings.iter().rev() {
            for (to, from) in total.arrays_mut().into_iter().zip(reading.arrays()) {
                to.iter_mut().zip(from).for_each(|(to, from)| *to += weight * from);
            }
            weights += weight;
            weight *= OLDER_MESSAGE_WEIGHT;
        }
        for array in total.arrays_mut() {
            array.iter_mut().for_each(|value| *value /= weights);
        }
        total
    }

    fn arrays(&self) -> [&[f32]; 4] {
        [&self.emotions, &self.intensities, &self.urgencies, &self.signals]
    }

    fn arrays_mut(&mut self) -> [&mut [f32]; 4] {
        [&mut self.emotions, &mut self.intensities, &mut self.urgencies, &mut self.signals]
    }

    /// The level from mild to extreme with the least expected absolute error, given that there is a feeling: the median.
    fn intensity(&self) -> Intensity {
        let [_, mild, strong, extreme] = self.intensities;
        let half = (mild + strong + extreme) / 2.0;
        match mild {
            mild if mild >= half => Intensity::Mild,
            mild if mild + strong >= half => Intensity::Strong,
            _ => Intensity::Extreme,
        }
    }
}

impl Confidence {
    fn from_distance(log_odds: f32) -> Self {
        match log_odds {
            distance if distance < LOW_CONFIDENCE => Self::Low,
            distance if distance < MEDIUM_CONFIDENCE => Self::Medium,
            _ => Self::High,
        }
    }
}

fn decided<L: Copy>(labels: &[L], scores: &[f32], thresholds: &[f32]) -> Vec<Scored<L>> {
    let mut found: Vec<_> = labels
        .iter()
        .zip(scores)
        .zip(thresholds)
        .filter(|((_, score), threshold)| score >= threshold)
        .map(|((label, score), threshold)| {
            let distance = log_odds(*score) - log_odds(*threshold);
            let confidence = Confidence::from_distance(distance);
            (distance, Scored { label: *label, score: *score, confidence })
        })
        .collect();
    // Rare labels have low thresholds, so the distance from it says more about strength than the bare probability.
    found.sort_by(|left, right| right.0.total_cmp(&left.0));
    found.into_iter().map(|(_, scored)| scored).collect()
}

fn cheapest(probabilities: &[f32; 4], costs: &UrgencyCosts) -> usize {
    let expected = |decision: usize| -> f32 { probabilities.iter().zip(costs).map(|(p, row)| p * row[decision]).sum() };
    // From critical down, so that a tie goes to the more urgent level.
    (0..4).rev().min_by(|left, right| expected(*left).total_cmp(&expected(*right))).unwrap_or(3)
}

fn group_probabilities(group: &Group, logits: &[f32]) -> Vec<f32> {
    if group.exclusive {
        softmax(logits, group.temperature)
    } else {
        logits.iter().map(|logit| 1.0 / (1.0 + (-logit / group.temperature).exp())).collect()
    }
}

fn softmax(logits: &[f32], temperature: f32) -> Vec<f32> {
    let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let weights: Vec<f32> = logits.iter().map(|logit| ((logit - largest) / temperature).exp()).collect();
    let total: f32 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}

fn expected_level(probabilities: &[f32]) -> f32 {
    probabilities.iter().enumerate().map(|(level, p)| level as f32 * p).sum()
}

fn log_odds(probability: f32) -> f32 {
    let probability = probability.clamp(1e-6, 1.0 - 1e-6);
    (probability / (1.0 - probability)).ln()
}

#[cfg(test)]
mod tests;
