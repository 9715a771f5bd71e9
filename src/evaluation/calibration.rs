//! Whether probabilities mean what they say: of what is said with 80 %, four in five should be so.

use serde::Serialize;

use super::{interval, ratio};

/// Most bins of the reliability table; fewer when a bin would hold under [`LEAST_IN_BIN`].
const BINS: usize = 15;
const LEAST_IN_BIN: usize = 20;

/// A probability that was given, and whether what it was given for is so.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outcome {
    /// Probability, 0 to 1.
    pub said: f64,
    /// Whether it is so.
    pub so: bool,
}

/// How well probabilities match what happens.
#[derive(Debug, Clone, Serialize)]
pub struct Calibration {
    /// Probabilities looked at.
    pub n: usize,
    /// Adaptive expected calibration error (Nixon et al. 2019): mean over bins of equal mass of the distance between the
    /// mean probability and the share that is so. Biased upwards when there are few.
    pub ece: f64,
    /// Its 95 % interval: bootstrap over items, mirrored at the value since resampling by itself adds error.
    pub ece_interval: interval::Interval,
    /// Brier score: mean squared distance between probability and 0 or 1; lower is better.
    pub brier: f64,
    /// Its 95 % bootstrap interval.
    pub brier_interval: interval::Interval,
    /// The reliability table, from low probabilities to high ones.
    pub bins: Vec<Bin>,
}

/// Neighbouring probabilities.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Bin {
    /// How many.
    pub n: usize,
    /// Their mean.
    pub said: f64,
    /// The share that is so.
    pub so: f64,
}

impl Calibration {
    /// Of all items, each with the outcomes it has; those of one item hang together and are resampled together.
    pub fn of(items: &[Vec<Outcome>]) -> Self {
        let flat =
            |items: &[&Vec<Outcome>]| items.iter().flat_map(|outcomes| outcomes.iter().copied()).collect::<Vec<_>>();
        let outcomes = flat(&items.iter().collect::<Vec<_>>());
        let bins = bins(&outcomes);
        let ece = error(&bins);
        let resampled = interval::bootstrap(items, |sample| error(&self::bins(&flat(sample))));
        Self {
            n: outcomes.len(),
            ece,
            ece_interval: interval::mirrored(ece, resampled),
            brier: brier(&outcomes),
            brier_interval: interval::bootstrap(items, |sample| brier(&flat(sample))),
            bins,
        }
    }
}

fn bins(outcomes: &[Outcome]) -> Vec<Bin> {
    let mut sorted = outcomes.to_vec();
    sorted.sort_by(|left, right| left.said.total_cmp(&right.said));
    let count = (sorted.len() / LEAST_IN_BIN).clamp(1, BINS);
    let mut bins = Vec::with_capacity(count);
    let mut start = 0;
    for bin in 1..=count {
        let mut end = (bin * sorted.len() / count).max(start);
        // Equal probabilities stay together: their order says nothing.
        while end > 0 && end < sorted.len() && sorted[end].said == sorted[end - 1].said {
            end += 1;
        }
        let part = &sorted[start..end];
        if !part.is_empty() {
            bins.push(Bin {
                n: part.len(),
                said: part.iter().map(|outcome| outcome.said).sum::<f64>() / part.len() as f64,
                so: part.iter().filter(|outcome| outcome.so).count() as f64 / part.len() as f64,
            });
        }
        start = end;
    }
    bins
}

fn error(bins: &[Bin]) -> f64 {
    let total: usize = bins.iter().map(|bin| bin.n).sum();
    ratio(bins.iter().map(|bin| bin.n as f64 * (bin.said - bin.so).abs()).sum(), total as f64)
}

fn brier(outcomes: &[Outcome]) -> f64 {
    let squares = outcomes.iter().map(|outcome| (outcome.said - f64::from(u8::from(outcome.so))).powi(2));
    ratio(squares.sum(), outcomes.len() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outcomes(said: f64, so: usize, of: usize) -> Vec<Vec<Outcome>> {
        (0..of).map(|item| vec![Outcome { said, so: item < so }]).collect()
    }

    #[test]
    fn honest_probabilities_have_no_error() {
        let calibration = Calibration::of(&[outcomes(0.25, 10, 40), outcomes(0.75, 30, 40)].concat());
        assert_eq!((calibration.n, calibration.ece), (80, 0.0));
        assert_eq!(calibration.bins.len(), 2);
        // A quarter is off by 0.75, three quarters by 0.25, on either side.
        assert!((calibration.brier - (0.25 * 0.5625 + 0.75 * 0.0625)).abs() < 1e-12);
    }

    #[test]
    fn overconfidence_shows() {
        let calibration = Calibration::of(&outcomes(0.9, 24, 40));
        assert!((calibration.ece - 0.3).abs() < 1e-12, "{}", calibration.ece);
        let [low, high] = calibration.ece_interval;
        assert!(low < 0.3 && high > 0.3);
        // The same outcomes in fewer, larger items are less certain.
        let pairs: Vec<Vec<Outcome>> = outcomes(0.9, 24, 40).chunks(20).map(<[_]>::concat).collect();
        let [wider_low, wider_high] = Calibration::of(&pairs).ece_interval;
        assert!(wider_high - wider_low > high - low);
    }

    #[test]
    fn nothing_has_no_error() {
        let calibration = Calibration::of(&[]);
        assert_eq!((calibration.n, calibration.ece, calibration.brier), (0, 0.0, 0.0));
        assert!(calibration.bins.is_empty());
    }
}
