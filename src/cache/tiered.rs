//! Memory first, Redis for what memory lacks.

use async_trait::async_trait;

use super::memory::MemoryCache;
use super::redis::{RedisCache, RedisCacheError};
use super::{CacheMetrics, CacheSettings, Fingerprint, FingerprintKey, Level, ScoreCache, Scores};

/// Both levels behind one: looks in memory, then asks Redis once for all the rest, and keeps in memory what Redis had.
pub struct Tiered {
    memory: MemoryCache,
    redis: Option<RedisCache>,
    metrics: CacheMetrics,
}

impl Tiered {
    /// Builds the levels the settings name; without a Redis URL, memory only. `labels` is the number of logits that
    /// scores of the bundle have. Redis is not contacted yet; the only error is a malformed URL.
    pub fn new(
        settings: &CacheSettings,
        key: &FingerprintKey,
        labels: usize,
        metrics: CacheMetrics,
    ) -> Result<Self, RedisCacheError> {
        let redis = match settings.redis.url {
            Some(_) => Some(RedisCache::new(&settings.redis, key, labels, metrics.clone())?),
            None => None,
        };
        Ok(Self { memory: MemoryCache::new(&settings.memory), redis, metrics })
    }
}

#[async_trait]
impl ScoreCache for Tiered {
    async fn get(&self, fingerprints: &[Fingerprint]) -> Vec<Option<(Scores, Level)>> {
        let mut found = self.memory.get(fingerprints).await;
        if let Some(redis) = &self.redis {
            let (places, missing): (Vec<usize>, Vec<Fingerprint>) =
                fingerprints.iter().enumerate().filter(|(place, _)| found[*place].is_none()).unzip();
            let answers = redis.get(&missing).await;
            let mut copies = Vec::new();
            for ((place, fingerprint), hit) in places.into_iter().zip(missing).zip(answers) {
                if let Some((scores, _)) = &hit {
                    copies.push((fingerprint, scores.clone()));
                }
                found[place] = hit;
            }
            self.memory.put(&copies).await;
        }
        for hit in &found {
            match hit {
                Some((_, level)) => self.metrics.hits_at(*level).inc(),
                None => self.metrics.misses.inc(),
            };
        }
        found
    }

    async fn put(&self, entries: &[(Fingerprint, Scores)]) {
        self.memory.put(entries).await;
        if let Some(redis) = &self.redis {
            redis.put(entries).await;
        }
    }
}
