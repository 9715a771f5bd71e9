//! How far a figure may be off because only so many items were looked at: 95 % intervals.

/// Quantile of the standard normal distribution for 95 %.
const Z: f64 = 1.959_964;

/// Resamples of a bootstrap interval, and where the random numbers begin: the same data gives the same interval.
const RESAMPLES: usize = 1000;
const SEED: u64 = 20_261_122;

/// Lower and upper end.
pub type Interval = [f64; 2];

/// Wilson's score interval for `part` of `whole`; 0 to 1 when there is nothing to go by.
pub fn wilson(part: u64, whole: u64) -> Interval {
    if whole == 0 {
        return [0.0, 1.0];
    }
    let n = whole as f64;
    let share = part as f64 / n;
    let denominator = 1.0 + Z * Z / n;
    let centre = (share + Z * Z / (2.0 * n)) / denominator;
    let half = Z * (share * (1.0 - share) / n + Z * Z / (4.0 * n * n)).sqrt() / denominator;
    [(centre - half).max(0.0), (centre + half).min(1.0)]
}

/// Percentile bootstrap of `statistic` over `items`; both ends are 0 when there are none.
pub fn bootstrap<T>(items: &[T], statistic: impl Fn(&[&T]) -> f64) -> Interval {
    if items.is_empty() {
        return [0.0, 0.0];
    }
    let mut random = fastrand::Rng::with_seed(SEED);
    let mut sample: Vec<&T> = items.iter().collect();
    let mut values: Vec<f64> = (0..RESAMPLES)
        .map(|_| {
            sample.iter_mut().for_each(|item| *item = &items[random.usize(..items.len())]);
            statistic(&sample)
        })
        .collect();
    values.sort_by(f64::total_cmp);
    [values[RESAMPLES / 40], values[RESAMPLES - 1 - RESAMPLES / 40]]
}

/// The bootstrap's interval mirrored at `value` and cut at 0, for an error whose resamples are larger than it by themselves.
pub fn mirrored(value: f64, [low, high]: Interval) -> Interval {
    [(2.0 * value - high).max(0.0), (2.0 * value - low).max(0.0)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wilson_by_the_book() {
        // 81 of 263, a worked example of Newcombe, Statistics in Medicine 17 (1998): 0.2553 to 0.3662.
        let [low, high] = wilson(81, 263);
        assert!((low - 0.2553).abs() < 1e-4 && (high - 0.3662).abs() < 1e-4, "{low} {high}");
        assert_eq!(wilson(0, 0), [0.0, 1.0]);
        assert!(wilson(10, 10)[0] > 0.7 && wilson(10, 10)[1] > 0.999);
    }

    #[test]
    fn bootstrap_holds_the_value_and_narrows_with_more_items() {
        let mean = |items: &[&f64]| items.iter().copied().sum::<f64>() / items.len() as f64;
        let few: Vec<f64> = (0..20).map(|item| f64::from(item % 2)).collect();
        let many: Vec<f64> = (0..2000).map(|item| f64::from(item % 2)).collect();
        let ([few_low, few_high], [low, high]) = (bootstrap(&few, mean), bootstrap(&many, mean));
        assert!(few_low < 0.5 && few_high > 0.5 && low < 0.5 && high > 0.5);
        assert!(high - low < (few_high - few_low) / 3.0);
        assert_eq!(bootstrap(&few, mean), [few_low, few_high]);
        assert_eq!(bootstrap(&[], mean), [0.0, 0.0]);
    }

    #[test]
    fn an_error_that_resampling_inflates_is_mirrored_back() {
        let [low, high] = mirrored(0.03, [0.035, 0.05]);
        assert!((low - 0.01).abs() < 1e-12 && (high - 0.025).abs() < 1e-12, "{low} {high}");
        assert_eq!(mirrored(0.01, [0.02, 0.03]), [0.0, 0.0]);
    }
}
