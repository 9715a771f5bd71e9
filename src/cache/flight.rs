//! Single flight: of equal texts that are asked for at the same time, one is computed and all are answered.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::watch;

use super::{Fingerprint, Scores};

/// The texts that are being computed in this process.
#[derive(Debug, Clone, Default)]
pub struct Flights {
    open: Arc<Mutex<HashMap<Fingerprint, watch::Receiver<Option<Scores>>>>>,
}

/// What a caller has to do for a text.
pub enum Flight {
    /// Compute it, and tell the others with [`Lead::land`].
    Lead(Lead),
    /// Wait for whoever computes it.
    Follow(Follow),
}

/// The duty to compute a text. When it is dropped without scores, one of those who wait takes it over.
pub struct Lead {
    fingerprint: Fingerprint,
    flights: Flights,
    scores: watch::Sender<Option<Scores>>,
}

/// A text that someone else computes.
pub struct Follow(watch::Receiver<Option<Scores>>);

impl Flights {
    /// Joins those who ask for the text, or begins.
    pub fn join(&self, fingerprint: Fingerprint) -> Flight {
        match self.lock().entry(fingerprint) {
            Entry::Occupied(open) => Flight::Follow(Follow(open.get().clone())),
            Entry::Vacant(free) => {
                let (scores, receiver) = watch::channel(None);
                free.insert(receiver);
                Flight::Lead(Lead { fingerprint, flights: self.clone(), scores })
            }
        }
    }

    // An insertion or a removal is done or not done when a thread panics, so a poisoned lock still holds a sound map.
    fn lock(&self) -> MutexGuard<'_, HashMap<Fingerprint, watch::Receiver<Option<Scores>>>> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Lead {
    /// Hands the scores to all who wait. To be called when the cache has them, so that nobody computes them again.
    pub fn land(self, scores: &Scores) {
        self.scores.send_replace(Some(scores.clone()));
    }
}

impl Drop for Lead {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.fingerprint);
    }
}

impl Follow {
    /// The scores; `None` when whoever computed them gave up.
    pub async fn landed(mut self) -> Option<Scores> {
        // An error means that the lead is gone; what it sent last is still there.
        let _ = self.0.wait_for(Option::is_some).await;
        self.0.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]

    use super::*;
    use crate::cache::{FingerprintKey, Scope};

    fn fingerprint(text: &str) -> Fingerprint {
        let key = FingerprintKey::from_hex(&"00".repeat(32)).unwrap();
        key.fingerprint(&Scope::new("t", "digest", "onnx", "int8"), text)
    }

    fn lead(flights: &Flights, text: &str) -> Lead {
        match flights.join(fingerprint(text)) {
            Flight::Lead(lead) => lead,
            Flight::Follow(_) => panic!("{text} is computed already"),
        }
    }

    fn follow(flights: &Flights, text: &str) -> Follow {
        match flights.join(fingerprint(text)) {
            Flight::Lead(_) => panic!("{text} is not computed"),
            Flight::Follow(follow) => follow,
        }
    }

    #[tokio::test]
    async fn one_computes_and_all_are_answered() {
        let flights = Flights::default();
        let first = lead(&flights, "same");
        let (second, third) = (follow(&flights, "same"), follow(&flights, "same"));
        let _other = lead(&flights, "other");
        let scores = Scores { logits: vec![1.0, 2.0].into(), windows: 1 };
        first.land(&scores);
        assert_eq!(second.landed().await, Some(scores.clone()));
        assert_eq!(third.landed().await, Some(scores));
        lead(&flights, "same");
    }

    #[tokio::test]
    async fn whoever_gives_up_leaves_the_duty_to_the_next() {
        let flights = Flights::default();
        let first = lead(&flights, "same");
        let second = follow(&flights, "same");
        drop(first);
        assert_eq!(second.landed().await, None);
        lead(&flights, "same");
    }
}
