//! Scores by text fingerprint: a first level in memory, Redis as the second that replicas share.
//!
//! What is kept are the model's raw scores, never text and never advice, so a new policy needs no flush. Neither level
//! can fail a request: what goes wrong is logged, counted and answered as a miss.

use std::sync::Arc;

use async_trait::async_trait;
use strum::{IntoStaticStr, VariantArray};

mod breaker;
pub mod fingerprint;
pub mod flight;
pub mod memory;
pub mod metrics;
pub mod redis;
pub mod settings;
mod tiered;
mod value;

pub use fingerprint::{Fingerprint, FingerprintKey, Scope};
pub use flight::{Flight, Flights};
pub use metrics::CacheMetrics;
pub use settings::CacheSettings;
pub use tiered::Tiered;

/// What the model said about one text.
#[derive(Debug, Clone, PartialEq)]
pub struct Scores {
    /// One logit for each label, in the order of the bundle's labels.
    pub logits: Arc<[f32]>,
    /// Into how many windows the text was cut; at least 1.
    pub windows: u32,
}

/// Where scores were found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Level {
    /// In this process's memory.
    Memory,
    /// In Redis.
    Redis,
}

/// One level of the cache, or several behind one.
#[async_trait]
pub trait ScoreCache: Send + Sync {
    /// Looks all fingerprints up; the answer has their order and number.
    async fn get(&self, fingerprints: &[Fingerprint]) -> Vec<Option<(Scores, Level)>>;

    /// Keeps scores for later. Returns when they can be found, or when keeping them has failed.
    async fn put(&self, entries: &[(Fingerprint, Scores)]);
}
