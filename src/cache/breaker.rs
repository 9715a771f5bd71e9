//! Keeps requests away from a Redis that does not answer.
//!
//! Written here because the breakers on crates.io let every caller through while they are half open, and each of those
//! would wait out its budget.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;

/// So many failures in a row open the breaker.
const FAILURES: u32 = 5;
/// While the breaker is open, one caller is let through each time this has passed.
const PROBE_EVERY: Duration = Duration::from_secs(1);

/// Closed until five failures in a row, then open but for one probe a second, closed again by the first success.
///
/// A probe that ends without a verdict, because its caller went away, leaves nothing behind: the next is due anyway.
pub(super) struct Breaker {
    state: Mutex<State>,
    /// 1 while open, otherwise 0.
    open: Gauge,
}

enum State {
    Closed { failures: u32 },
    Open { next_probe: Instant },
}

/// The leave to try, to be handed back with the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pass {
    Ordinary,
    Probe,
}

impl Breaker {
    pub(super) fn new(open: Gauge) -> Self {
        Self { state: Mutex::new(State::Closed { failures: 0 }), open }
    }

    /// Whether a caller may try now.
    pub(super) fn admit(&self, now: Instant) -> Option<Pass> {
        match &mut *self.state() {
            State::Closed { .. } => Some(Pass::Ordinary),
            State::Open { next_probe } if now >= *next_probe => {
                *next_probe = now + PROBE_EVERY;
                Some(Pass::Probe)
            }
            State::Open { .. } => None,
        }
    }

    /// Takes a success. True when it closed the breaker.
    pub(super) fn succeeded(&self) -> bool {
        let mut state = self.state();
        let was_open = matches!(*state, State::Open { .. });
        *state = State::Closed { failures: 0 };
        self.open.set(0);
        was_open
    }

    /// Takes a failure, `fatal` when no further try on the same connection can succeed. True when the connection is to
    /// be replaced: the breaker has just opened, or its probe failed.
    pub(super) fn failed(&self, pass: Pass, fatal: bool, now: Instant) -> bool {
        let mut state = self.state();
        match &mut *state {
            State::Closed { failures } if !fatal && *failures + 1 < FAILURES => {
                *failures += 1;
                false
            }
            State::Closed { .. } => {
                let next_probe = now + PROBE_EVERY;
                *state = State::Open { next_probe };
                self.open.set(1);
                true
            }
            // Callers that set out before the breaker opened still come back; only the probe speaks for the new
            // connection.
            State::Open { .. } => pass == Pass::Probe,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // Nothing panics while it holds the lock, and any state is a valid one.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_five_failures_in_a_row_and_probes_once_a_second() {
        let gauge = Gauge::default();
        let breaker = Breaker::new(gauge.clone());
        let start = Instant::now();
        for _ in 0..4 {
            assert!(!breaker.failed(Pass::Ordinary, false, start));
        }
        assert!(!breaker.succeeded());
        for _ in 0..4 {
            assert!(!breaker.failed(Pass::Ordinary, false, start));
            assert_eq!(breaker.admit(start), Some(Pass::Ordinary));
        }
        assert!(breaker.failed(Pass::Ordinary, false, start));
        assert_eq!(gauge.get(), 1);

        assert_eq!(breaker.admit(start), None);
        assert!(!breaker.failed(Pass::Ordinary, false, start), "too late to count");
        let later = start + PROBE_EVERY;
        assert_eq!(breaker.admit(later), Some(Pass::Probe));
        assert_eq!(breaker.admit(later), None, "one probe at a time");
        assert!(breaker.failed(Pass::Probe, false, later));
        assert_eq!(breaker.admit(later), None);

        let much_later = later + PROBE_EVERY;
        assert_eq!(breaker.admit(much_later), Some(Pass::Probe));
        assert!(breaker.succeeded());
        assert_eq!(gauge.get(), 0);
        assert_eq!(breaker.admit(much_later), Some(Pass::Ordinary));
    }

    #[test]
    fn one_fatal_failure_opens() {
        let breaker = Breaker::new(Gauge::default());
        let now = Instant::now();
        assert!(breaker.failed(Pass::Ordinary, true, now));
        assert_eq!(breaker.admit(now), None);
    }

    #[test]
    fn an_abandoned_probe_is_followed_by_another() {
        let breaker = Breaker::new(Gauge::default());
        let start = Instant::now();
        breaker.failed(Pass::Ordinary, true, start);
        assert_eq!(breaker.admit(start + PROBE_EVERY), Some(Pass::Probe));
        assert_eq!(breaker.admit(start + 2 * PROBE_EVERY), Some(Pass::Probe));
    }
}
