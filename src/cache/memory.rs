//! The first level: this process's memory.

use std::time::Duration;

use async_trait::async_trait;
use moka::future::Cache;

use super::settings::{MAX_TTL_SECONDS, MemorySettings};
use super::{Fingerprint, Level, ScoreCache, Scores};

/// Scores in this process's memory. When it is full, the least useful make room: TinyLFU keeps what is asked for often.
pub struct MemoryCache {
    scores: Cache<Fingerprint, Scores>,
}

impl MemoryCache {
    /// An empty cache. Memory is taken as entries arrive.
    pub fn new(settings: &MemorySettings) -> Self {
        // moka panics at a thousand years.
        let ttl = Duration::from_secs(settings.ttl_seconds.min(MAX_TTL_SECONDS));
        Self { scores: Cache::builder().max_capacity(settings.max_entries).time_to_live(ttl).build() }
    }
}

#[async_trait]
impl ScoreCache for MemoryCache {
    async fn get(&self, fingerprints: &[Fingerprint]) -> Vec<Option<(Scores, Level)>> {
        let mut found = Vec::with_capacity(fingerprints.len());
        for fingerprint in fingerprints {
            let scores = self.scores.get(fingerprint).await;
            found.push(scores.map(|scores| (scores, Level::Memory)));
        }
        found
    }

    async fn put(&self, entries: &[(Fingerprint, Scores)]) {
        for (fingerprint, scores) in entries {
            self.scores.insert(*fingerprint, scores.clone()).await;
        }
    }
}
