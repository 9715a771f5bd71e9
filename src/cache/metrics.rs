//! What the cache counts.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};
use prometheus_client::metrics::{counter::Counter, family::Family, gauge::Gauge};
use prometheus_client::registry::Registry;
use strum::{IntoStaticStr, VariantArray};

use super::Level;

/// Counters of the cache. Clones count together.
#[derive(Debug, Clone)]
pub struct CacheMetrics {
    /// Texts found, by level.
    pub hits: Family<HitLabels, Counter>,
    /// Texts found at no level.
    pub misses: Counter,
    /// Redis operations that failed and values that were refused, by kind.
    pub failures: Family<FailureLabels, Counter>,
    /// Redis operations not even tried because the breaker was open.
    pub skipped: Counter,
    /// 1 while the breaker keeps requests away from Redis, otherwise 0.
    pub breaker_open: Gauge,
}

/// The labels of [`CacheMetrics::hits`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct HitLabels {
    /// Where the scores were found.
    pub level: Level,
}

/// The labels of [`CacheMetrics::failures`].
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct FailureLabels {
    /// What went wrong.
    pub kind: FailureKind,
}

/// What can go wrong with Redis.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum FailureKind {
    /// No answer within the budget of an operation.
    Timeout,
    /// No connection, or a server that says it cannot serve yet.
    Unavailable,
    /// A value that this cache did not write under this key, or that has changed since.
    Corrupt,
    /// Any other refusal: a wrong password, a missing permission, memory full, a read-only replica.
    Other,
}

impl CacheMetrics {
    /// Makes the metrics part of what is exported, under names that begin with `bedside_cache_`.
    pub fn register(&self, registry: &mut Registry) {
        registry.register(
            "bedside_cache_hits",
            "Texts whose scores were found in the cache, by level",
            self.hits.clone(),
        );
        registry.register(
            "bedside_cache_misses",
            "Texts whose scores were found at no level of the cache",
            self.misses.clone(),
        );
        registry.register(
            "bedside_cache_failures",
            "Failed Redis operations and refused values, by kind",
            self.failures.clone(),
        );
        registry.register(
            "bedside_cache_skipped",
            "Redis operations not tried because the breaker was open",
            self.skipped.clone(),
        );
        registry.register(
            "bedside_cache_breaker_open",
            "1 while the breaker keeps requests away from Redis",
            self.breaker_open.clone(),
        );
    }

    /// The counter of texts found at one level.
    pub fn hits_at(&self, level: Level) -> Counter {
        self.hits.get_or_create_owned(&HitLabels { level })
    }

    /// The counter of one kind of failure.
    pub fn failures_of(&self, kind: FailureKind) -> Counter {
        self.failures.get_or_create_owned(&FailureLabels { kind })
    }
}

impl Default for CacheMetrics {
    fn default() -> Self {
        let metrics = Self {
            hits: Family::default(),
            misses: Counter::default(),
            failures: Family::default(),
            skipped: Counter::default(),
            breaker_open: Gauge::default(),
        };
        // A series that starts at 0 shows its first increase; one that appears at 1 does not.
        for level in Level::VARIANTS {
            metrics.hits_at(*level);
        }
        for kind in FailureKind::VARIANTS {
            metrics.failures_of(*kind);
        }
        metrics
    }
}

impl EncodeLabelValue for Level {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        <&'static str>::from(self).encode(encoder)
    }
}

impl EncodeLabelValue for FailureKind {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> std::fmt::Result {
        <&'static str>::from(self).encode(encoder)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_series_is_exported_from_the_start() {
        let mut registry = Registry::default();
        let metrics = CacheMetrics::default();
        metrics.register(&mut registry);
        metrics.hits_at(Level::Redis).inc();
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        for line in [
            r#"bedside_cache_hits_total{level="memory"} 0"#,
            r#"bedside_cache_hits_total{level="redis"} 1"#,
            "bedside_cache_misses_total 0",
            r#"bedside_cache_failures_total{kind="timeout"} 0"#,
            r#"bedside_cache_failures_total{kind="unavailable"} 0"#,
            r#"bedside_cache_failures_total{kind="corrupt"} 0"#,
            r#"bedside_cache_failures_total{kind="other"} 0"#,
            "bedside_cache_skipped_total 0",
            "bedside_cache_breaker_open 0",
        ] {
            assert!(text.lines().any(|found| found == line), "{line}\n{text}");
        }
    }
}
