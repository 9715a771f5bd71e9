//! The second level: Redis, which replicas share and which may be slow, wrong, full or gone at any time.
//!
//! Each operation has a budget, because the client makes every command wait for a reconnect under way, however long
//! that takes. Failures in a row open a breaker, and with it the connection is replaced, because the client keeps one
//! that only times out, was refused its password, or leads to a server that became read-only.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use redis::io::tcp::TcpSettings;
use redis::{
    Client, ConnectionInfo, ErrorKind, FromRedisValue, IntoConnectionInfo, Pipeline, RedisError, RedisResult,
    ServerErrorKind,
};
use thiserror::Error;

use super::breaker::Breaker;
use super::metrics::FailureKind;
use super::settings::{MAX_TTL_SECONDS, RedisSettings, Secret};
use super::value::{SCHEMA, ValueCodec};
use super::{CacheMetrics, Fingerprint, FingerprintKey, Level, ScoreCache, Scores};

/// While Redis fails, one warning is written each time this has passed; the counters tell the rest.
const WARN_EVERY: Duration = Duration::from_secs(30);

/// Scores in Redis.
pub struct RedisCache {
    client: Client,
    connecting: ConnectionManagerConfig,
    /// Made by the first operation, since making it needs a running Tokio.
    connection: Mutex<Option<ConnectionManager>>,
    connect_timeout: Duration,
    operation_timeout: Duration,
    breaker: Breaker,
    codec: ValueCodec,
    key_prefix: String,
    ttl_seconds: u64,
    metrics: CacheMetrics,
    warned: Mutex<Option<Instant>>,
}

/// Why there cannot be a Redis level. No message holds any part of the URL.
#[derive(Debug, Error)]
pub enum RedisCacheError {
    /// The settings have no URL.
    #[error("no Redis URL is set")]
    NoUrl,
    /// The URL is none that Redis can be reached by; holds the reason.
    #[error("the Redis URL is malformed: {0}")]
    MalformedUrl(String),
}

/// What went wrong, in words that hold nothing of what was sent: a server may quote a command it does not know, password
/// included.
struct Failure {
    kind: FailureKind,
    reason: String,
    /// No further try on this connection can succeed.
    fatal: bool,
}

impl RedisCache {
    /// Prepares the level without contacting Redis. `labels` is the number of logits that scores of the bundle have; a
    /// value with another number is a miss. The only errors are a missing and a malformed URL.
    pub fn new(
        settings: &RedisSettings,
        key: &FingerprintKey,
        labels: usize,
        metrics: CacheMetrics,
    ) -> Result<Self, RedisCacheError> {
        let url = settings.url.as_ref().ok_or(RedisCacheError::NoUrl)?;
        let connect_timeout = Duration::from_millis(settings.connect_timeout_ms);
        Ok(Self {
            client: Client::open(connection_info(url)?).map_err(malformed)?,
            // No retries, since each operation and each probe of the breaker is one already; no time-out for answers,
            // since the budget of the operation covers them.
            connecting: ConnectionManagerConfig::new()
                .set_number_of_retries(0)
                .set_connection_timeout(Some(connect_timeout))
                .set_response_timeout(None),
            connection: Mutex::new(None),
            connect_timeout,
            operation_timeout: Duration::from_millis(settings.operation_timeout_ms),
            breaker: Breaker::new(metrics.breaker_open.clone()),
            codec: ValueCodec::new(key, labels),
            key_prefix: format!("{}:v{SCHEMA}", settings.key_prefix),
            ttl_seconds: settings.ttl_seconds.clamp(1, MAX_TTL_SECONDS),
            metrics,
            warned: Mutex::new(None),
        })
    }

    /// Runs commands within the budget, unless the breaker is open. `None` is any failure, already counted and logged.
    async fn run<T: FromRedisValue>(&self, commands: &Pipeline) -> Option<T> {
        let Some(pass) = self.breaker.admit(Instant::now()) else {
            self.metrics.skipped.inc();
            return None;
        };
        match self.attempt(commands).await {
            Ok(answer) => {
                if self.breaker.succeeded() {
                    tracing::info!("Redis answers again");
                }
                Some(answer)
            }
            Err(failure) => {
                self.count(&failure);
                if self.breaker.failed(pass, failure.fatal, Instant::now()) {
                    *lock(&self.connection) = self.connect().ok();
                }
                None
            }
        }
    }

    async fn attempt<T: FromRedisValue>(&self, commands: &Pipeline) -> Result<T, Failure> {
        let mut connection = self.connection()?;
        let answer = commands.query_async(&mut connection);
        match tokio::time::timeout(self.operation_timeout, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure {
                kind: FailureKind::Timeout,
                reason: format!("no answer in {:?}", self.operation_timeout),
                fatal: false,
            }),
        }
    }

    fn connection(&self) -> RedisResult<ConnectionManager> {
        let mut connection = lock(&self.connection);
        match &*connection {
            Some(manager) => Ok(manager.clone()),
            None => Ok(connection.insert(self.connect()?).clone()),
        }
    }

    /// Begins to connect in the background.
    fn connect(&self) -> RedisResult<ConnectionManager> {
        let manager = ConnectionManager::new_lazy_with_config(self.client.clone(), self.connecting.clone())?;
        // The client gets on with connecting only while somebody waits for it, and an operation waits no longer than
        // its budget: without this, a Redis that takes longer to greet would never be reached.
        let mut greeted = manager.clone();
        let limit = self.connect_timeout + self.operation_timeout;
        tokio::spawn(async move {
            // The next operation meets the same error and counts it.
            let _ = tokio::time::timeout(limit, redis::cmd("PING").exec_async(&mut greeted)).await;
        });
        Ok(manager)
    }

    fn count(&self, failure: &Failure) {
        self.metrics.failures_of(failure.kind).inc();
        let (kind, reason) = (<&str>::from(failure.kind), &failure.reason);
        let now = Instant::now();
        let mut warned = lock(&self.warned);
        if warned.is_some_and(|then| now - then < WARN_EVERY) {
            tracing::debug!(kind, reason, "the Redis cache failed");
        } else {
            *warned = Some(now);
            tracing::warn!(kind, reason, "the Redis cache failed; what it may hold is scored anew");
        }
    }

    fn key(&self, fingerprint: &Fingerprint) -> String {
        format!("{}:{fingerprint}", self.key_prefix)
    }

    /// The time to live, give or take a tenth. The hash decides how much, and it is as good as random.
    fn ttl(&self, fingerprint: &Fingerprint) -> u64 {
        let [low, high, ..] = *fingerprint.as_bytes();
        let share = u64::from(u16::from_le_bytes([low, high]));
        let shortest = self.ttl_seconds - self.ttl_seconds / 10;
        shortest + self.ttl_seconds / 5 * share / u64::from(u16::MAX)
    }
}

#[async_trait]
impl ScoreCache for RedisCache {
    async fn get(&self, fingerprints: &[Fingerprint]) -> Vec<Option<(Scores, Level)>> {
        let mut found = vec![None; fingerprints.len()];
        if fingerprints.is_empty() {
            return found;
        }
        let mut commands = redis::pipe();
        commands.cmd("MGET");
        for fingerprint in fingerprints {
            commands.arg(self.key(fingerprint));
        }
        let Some((values,)) = self.run::<(Vec<Option<Vec<u8>>>,)>(&commands).await else {
            return found;
        };
        for ((hit, fingerprint), value) in found.iter_mut().zip(fingerprints).zip(values) {
            let Some(value) = value else { continue };
            match self.codec.decode(fingerprint, &value) {
                Some(scores) => *hit = Some((scores, Level::Redis)),
                // Not deleted: the scores that are computed now take its place.
                None => self.count(&Failure {
                    kind: FailureKind::Corrupt,
                    reason: format!("the value of {fingerprint} is none of ours"),
                    fatal: false,
                }),
            }
        }
        found
    }

    async fn put(&self, entries: &[(Fingerprint, Scores)]) {
        if entries.is_empty() {
            return;
        }
        let mut commands = redis::pipe();
        for (fingerprint, scores) in entries {
            commands
                .cmd("SET")
                .arg(self.key(fingerprint))
                .arg(self.codec.encode(fingerprint, scores))
                .arg("EX")
                .arg(self.ttl(fingerprint))
                .ignore();
        }
        self.run::<()>(&commands).await;
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        let kind = match error.kind() {
            _ if error.is_timeout() => FailureKind::Timeout,
            ErrorKind::Io
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading | ServerErrorKind::MasterDown | ServerErrorKind::ClusterDown,
            ) => FailureKind::Unavailable,
            _ => FailureKind::Other,
        };
        Self {
            kind,
            reason: match error.kind() {
                // Comes from the operating system, which has not seen the commands.
                ErrorKind::Io => error.to_string(),
                kind => format!("{kind:?} {}", error.code().unwrap_or_default()),
            },
            // Reads go on to succeed on a server that became read-only, so they would keep the breaker closed and the
            // writes failing.
            fatal: error.kind() == ErrorKind::Server(ServerErrorKind::ReadOnly),
        }
    }
}

/// Where a URL leads.
pub(super) fn connection_info(url: &Secret) -> Result<ConnectionInfo, RedisCacheError> {
    let parsed = redis::parse_redis_url(url.expose())
        .ok_or_else(|| RedisCacheError::MalformedUrl("it is not redis://host:port".to_owned()))?;
    if parsed.fragment().is_some_and(|after| after != "insecure") {
        // What follows would be ignored, and the rest read as another host.
        let problem = "a # within the password has to be written %23";
        return Err(RedisCacheError::MalformedUrl(problem.to_owned()));
    }
    let info = parsed.into_connection_info().map_err(malformed)?;
    // Many small commands on one connection must not wait for each other's packets.
    Ok(info.set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

/// The client quotes the URL only in what follows the dash.
fn malformed(error: RedisError) -> RedisCacheError {
    let text = error.to_string();
    let reason = text.split(" - ").next().unwrap_or_default();
    RedisCacheError::MalformedUrl(reason.to_owned())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // Nothing panics while it holds one of these locks, and what they guard is valid at any time.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
