//! Promise: the cache may lose its Redis in any way and at any time; that costs speed, never an answer, a wrong score
//! or a secret.
//!
//! Each test runs Redis servers of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod redis_server;

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use bedside::cache::metrics::FailureKind;
use bedside::cache::settings::Secret;
use bedside::cache::{
    CacheMetrics, CacheSettings, Fingerprint, FingerprintKey, Level, Scope, ScoreCache, Scores, Tiered,
};
use redis::AsyncCommands;
use redis_server::{Server, Way, eventually, free_port};
use rustix::process::Signal;

const LABELS: usize = 6;
const KEY: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

/// One service process, as far as the cache is concerned: its own memory, and what it counts.
struct Replica {
    cache: Tiered,
    metrics: CacheMetrics,
}

impl Replica {
    /// Waits so long for Redis that a busy machine does not look like a failing Redis.
    fn new(url: &str) -> Self {
        Self::with(url, KEY, LABELS, 10_000)
    }

    fn with(url: &str, key: &str, labels: usize, operation_timeout_ms: u64) -> Self {
        let mut settings = CacheSettings::default();
        settings.redis.url = Some(Secret::new(url));
        settings.redis.operation_timeout_ms = operation_timeout_ms;
        settings.redis.connect_timeout_ms = 10_000;
        settings.key = Some(Secret::new(key));
        assert_eq!(settings.violations(), []);
        let key = settings.fingerprint_key().unwrap().unwrap();
        let metrics = CacheMetrics::default();
        Self { cache: Tiered::new(&settings, &key, labels, metrics.clone()).unwrap(), metrics }
    }

    async fn get(&self, fingerprint: Fingerprint) -> Option<(Scores, Level)> {
        let mut found = self.cache.get(&[fingerprint]).await;
        assert_eq!(found.len(), 1);
        found.remove(0)
    }

    async fn put(&self, fingerprint: Fingerprint, scores: &Scores) {
        self.cache.put(&[(fingerprint, scores.clone())]).await;
    }

    fn failures(&self, kind: FailureKind) -> u64 {
        self.metrics.failures_of(kind).get()
    }

    fn is_open(&self) -> bool {
        self.metrics.breaker_open.get() == 1
    }
}

fn fingerprint(text: &str) -> Fingerprint {
    let key = FingerprintKey::from_hex(KEY).unwrap();
    key.fingerprint(&Scope::new("acme", "b1", "rust-bert", "f32"), text)
}

fn scores(first: f32) -> Scores {
    Scores { logits: (0..LABELS).map(|i| first + i as f32).collect(), windows: 2 }
}

/// Collects what is logged on this thread, down to the finest level.
fn capture_logs() -> (Arc<Mutex<Vec<u8>>>, tracing::subscriber::DefaultGuard) {
    struct Log(Arc<Mutex<Vec<u8>>>);
    impl std::io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let log = Arc::new(Mutex::new(Vec::new()));
    let target = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_writer(move || Log(target.clone()))
        .finish();
    (log, tracing::subscriber::set_default(subscriber))
}

fn holds(haystack: &[u8], needle: &str) -> bool {
    haystack.windows(needle.len()).any(|part| part == needle.as_bytes())
}

#[tokio::test]
async fn replicas_share_scores_through_redis() {
    let server = Server::start().await;
    let (first, second) = (Replica::new(&server.url()), Replica::new(&server.url()));
    let names = ["a", "b", "c", "d"].map(fingerprint);
    let entries = [(names[0], scores(0.25)), (names[2], scores(-3.0))];
    first.cache.put(&entries).await;

    let found = first.cache.get(&names).await;
    assert_eq!(found[0], Some((scores(0.25), Level::Memory)));

    second.put(names[3], &scores(9.0)).await;
    let found = second.cache.get(&names).await;
    let expected = [
        Some((scores(0.25), Level::Redis)),
        None,
        Some((scores(-3.0), Level::Redis)),
        Some((scores(9.0), Level::Memory)),
    ];
    assert_eq!(found, expected);
    let again = second.get(names[0]).await;
    assert_eq!(again, Some((scores(0.25), Level::Memory)));

    assert_eq!(second.metrics.hits_at(Level::Redis).get(), 2);
    assert_eq!(second.metrics.hits_at(Level::Memory).get(), 2);
    assert_eq!(second.metrics.misses.get(), 1);
}

#[tokio::test]
async fn entries_expire_and_not_all_at_once() {
    let server = Server::start().await;
    let replica = Replica::new(&server.url());
    let entries: Vec<_> = (0..50).map(|i| (fingerprint(&i.to_string()), scores(0.0))).collect();
    replica.cache.put(&entries).await;

    let mut connection = server.connect().await.unwrap();
    let week = 7 * 86_400;
    let mut lifetimes = Vec::new();
    for key in server.keys().await {
        // What is left is a little less than what was given; an hour is more than any test takes.
        let ttl: i64 = connection.ttl(&key).await.unwrap();
        let range = week * 9 / 10 - 3_600..=week * 11 / 10;
        assert!(range.contains(&ttl), "{ttl}");
        lifetimes.push(ttl);
    }
    assert_eq!(lifetimes.len(), 50);
    let spread = lifetimes.iter().max().unwrap() - lifetimes.iter().min().unwrap();
    assert!(spread > week / 10, "{spread}");
}

#[tokio::test]
async fn a_killed_redis_means_misses_until_it_is_back() {
    let server = Server::start().await;
    let (name, port) = (fingerprint("a"), server.port);
    let (writer, reader) = (Replica::new(&server.url()), Replica::new(&server.url()));
    writer.put(name, &scores(1.0)).await;
    assert_eq!(reader.get(fingerprint("b")).await, None);
    drop(server);

    while !reader.is_open() {
        assert_eq!(reader.get(name).await, None);
    }
    assert_eq!(reader.failures(FailureKind::Unavailable), 5);
    assert_eq!(reader.get(name).await, None);
    // The memory level goes on.
    reader.put(name, &scores(1.0)).await;
    assert_eq!(reader.get(name).await, Some((scores(1.0), Level::Memory)));
    assert_eq!(writer.get(name).await, Some((scores(1.0), Level::Memory)));

    let _server = Server::start_on(port, None, &[]).await;
    let later = fingerprint("later");
    eventually("both replicas use Redis again", async || {
        writer.put(later, &scores(2.0)).await;
        reader.get(later).await.is_some()
    })
    .await;
    assert!(!reader.is_open() && !writer.is_open());
}

#[tokio::test]
async fn a_redis_that_is_absent_at_the_start_is_used_once_it_is_there() {
    let port = free_port();
    let replica = Replica::new(&format!("redis://127.0.0.1:{port}"));
    let name = fingerprint("a");
    replica.put(name, &scores(1.0)).await;
    assert_eq!(replica.get(name).await, Some((scores(1.0), Level::Memory)));
    assert_eq!(replica.failures(FailureKind::Unavailable), 1);

    let server = Server::start_on(port, None, &[]).await;
    eventually("the entry is in Redis", async || {
        replica.put(name, &scores(1.0)).await;
        !server.keys().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_stopped_redis_costs_a_few_bounded_waits() {
    let server = Server::start().await;
    let name = fingerprint("a");
    let writer = Replica::new(&server.url());
    writer.put(name, &scores(1.0)).await;
    let reader = Replica::with(&server.url(), KEY, LABELS, 100);

    server.signal(Signal::STOP);
    let (stopped, mut asked) = (Instant::now(), 0);
    while reader.metrics.skipped.get() < 1_000 {
        assert_eq!(reader.get(name).await, None);
        asked += 1;
        // Five failures open the breaker; after that, at most one request a second waits.
        let waited = asked - reader.metrics.skipped.get();
        assert_eq!(reader.failures(FailureKind::Timeout), waited);
        assert!(waited <= 5 + stopped.elapsed().as_secs(), "{waited} waits");
    }
    assert!(reader.is_open());

    server.signal(Signal::CONT);
    eventually("Redis is used again", async || reader.get(name).await.is_some()).await;
    assert!(!reader.is_open());
}

/// A firewall that forgets a connection, or a host that vanishes: only time-outs tell, and the client takes those for no
/// reason to connect anew.
#[tokio::test]
async fn a_connection_that_fell_silent_is_replaced() {
    let server = Server::start().await;
    let way = Way::to(server.port, Duration::ZERO);
    let replica = Replica::with(&format!("redis://127.0.0.1:{}", way.port), KEY, LABELS, 200);
    eventually("connected", async || {
        replica.put(fingerprint("a"), &scores(1.0)).await;
        !replica.is_open() && !server.keys().await.is_empty()
    })
    .await;

    way.silence();
    while !replica.is_open() {
        assert_eq!(replica.get(fingerprint("b")).await, None);
    }
    assert!(replica.failures(FailureKind::Timeout) >= 5);
    eventually("a new connection serves", async || {
        replica.put(fingerprint("b"), &scores(1.0)).await;
        server.keys().await.len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_redis_that_greets_more_slowly_than_the_budget_is_reached_in_the_end() {
    let server = Server::start().await;
    let way = Way::to(server.port, Duration::from_millis(700));
    let replica = Replica::with(&format!("redis://127.0.0.1:{}", way.port), KEY, LABELS, 50);
    while !replica.is_open() {
        assert_eq!(replica.get(fingerprint("a")).await, None);
    }
    eventually("the entry is in Redis", async || {
        replica.put(fingerprint("a"), &scores(1.0)).await;
        !server.keys().await.is_empty()
    })
    .await;
}

#[tokio::test]
async fn a_value_that_is_not_ours_is_a_miss_and_is_overwritten() {
    let server = Server::start().await;
    let mut connection = server.connect().await.unwrap();
    let (name, other) = (fingerprint("a"), fingerprint("b"));
    let key = |name: Fingerprint| format!("bedside:v1:{name}");
    let writer = Replica::new(&server.url());
    writer.put(name, &scores(1.0)).await;
    writer.put(other, &scores(2.0)).await;
    let right: Vec<u8> = connection.get(key(name)).await.unwrap();
    let swapped: Vec<u8> = connection.get(key(other)).await.unwrap();
    let mut foreign_schema = right.clone();
    foreign_schema[0] += 1;
    let mut changed = right.clone();
    changed[7] ^= 1;

    let cases = [
        ("empty", Vec::new()),
        ("noise", b"\xff".repeat(right.len())),
        ("text", b"some other program's value".to_vec()),
        ("huge", vec![1; 1 << 20]),
        ("truncated", right[..right.len() - 1].to_vec()),
        ("changed", changed),
        ("foreign schema", foreign_schema),
        ("swapped", swapped),
    ];
    for (case, value) in cases {
        let _: () = connection.set(key(name), value).await.unwrap();
        let reader = Replica::new(&server.url());
        let found = reader.cache.get(&[other, name]).await;
        // A bad value harms no other of the same look-up.
        assert_eq!(found, [Some((scores(2.0), Level::Redis)), None], "{case}");
        assert_eq!(reader.failures(FailureKind::Corrupt), 1, "{case}");
        assert!(!reader.is_open());

        reader.put(name, &scores(1.0)).await;
        let now: Vec<u8> = connection.get(key(name)).await.unwrap();
        assert_eq!(now, right, "{case}");
    }

    // A key that holds no string at all.
    let _: () = connection.del(key(name)).await.unwrap();
    let _: () = connection.lpush(key(name), "x").await.unwrap();
    let reader = Replica::new(&server.url());
    assert_eq!(reader.get(name).await, None);
    reader.put(name, &scores(1.0)).await;
    let now: Vec<u8> = connection.get(key(name)).await.unwrap();
    assert_eq!(now, right);

    // A bundle with more labels never gets scores that are too short.
    let wider = Replica::with(&server.url(), KEY, LABELS + 1, 10_000);
    assert_eq!(wider.get(name).await, None);
    assert_eq!(wider.failures(FailureKind::Corrupt), 1);
}

#[tokio::test]
async fn a_wrong_password_means_misses_and_stays_secret() {
    let (log, _guard) = capture_logs();
    let port = free_port();
    let server = Server::start_on(port, Some("sesame"), &[]).await;
    let name = fingerprint("a");
    for userinfo in [":hunter2@", "admin:hunter2@", ""] {
        let replica = Replica::new(&format!("redis://{userinfo}127.0.0.1:{port}"));
        while !replica.is_open() {
            assert_eq!(replica.get(name).await, None);
        }
        replica.put(name, &scores(1.0)).await;
        assert_eq!(replica.get(name).await, Some((scores(1.0), Level::Memory)));
        assert!(replica.failures(FailureKind::Other) >= 5, "{userinfo}");
    }
    assert!(server.keys().await.is_empty());

    // Once the server accepts the password, it is used without a restart.
    let replica = Replica::new(&format!("redis://:hunter2@127.0.0.1:{port}"));
    while !replica.is_open() {
        replica.put(name, &scores(1.0)).await;
    }
    server.command(&["CONFIG", "SET", "requirepass", "hunter2"]).await;
    eventually("the password is accepted", async || {
        replica.put(name, &scores(1.0)).await;
        !replica.is_open()
    })
    .await;

    // A server that does not know the command quotes it, password and all.
    let server = Server::start_on(free_port(), None, &["--rename-command", "AUTH", ""]).await;
    let replica = Replica::new(&format!("redis://:hunter2@127.0.0.1:{}", server.port));
    while !replica.is_open() {
        assert_eq!(replica.get(fingerprint("b")).await, None);
    }

    let log = log.lock().unwrap();
    assert!(holds(&log, "the Redis cache failed"));
    assert!(!holds(&log, "hunter2") && !holds(&log, "sesame"));
}

#[tokio::test]
async fn a_read_only_redis_is_left_and_tried_again() {
    let server = Server::start().await;
    let replica = Replica::new(&server.url());
    replica.put(fingerprint("a"), &scores(1.0)).await;

    server.command(&["REPLICAOF", "127.0.0.1", "1"]).await;
    replica.put(fingerprint("b"), &scores(1.0)).await;
    assert!(replica.is_open(), "reads would succeed and hide it");
    assert_eq!(replica.failures(FailureKind::Other), 1);

    server.command(&["REPLICAOF", "NO", "ONE"]).await;
    eventually("writes arrive again", async || {
        replica.put(fingerprint("b"), &scores(1.0)).await;
        server.keys().await.len() == 2
    })
    .await;
}

#[tokio::test]
async fn a_full_redis_still_serves_what_it_has() {
    let server = Server::start().await;
    let writer = Replica::new(&server.url());
    writer.put(fingerprint("a"), &scores(1.0)).await;
    server.command(&["CONFIG", "SET", "maxmemory", "1"]).await;

    writer.put(fingerprint("b"), &scores(2.0)).await;
    assert_eq!(writer.failures(FailureKind::Other), 1);
    let reader = Replica::new(&server.url());
    let found = reader.get(fingerprint("a")).await;
    assert_eq!(found, Some((scores(1.0), Level::Redis)));
    assert_eq!(reader.get(fingerprint("b")).await, None);
}

#[tokio::test]
async fn nothing_is_shared_across_tenants_bundles_engines_or_keys() {
    let server = Server::start().await;
    let key = FingerprintKey::from_hex(KEY).unwrap();
    let other_digits = "f".repeat(64);
    let other_key = FingerprintKey::from_hex(&other_digits).unwrap();
    let name = |tenant, bundle, engine, precision| {
        key.fingerprint(&Scope::new(tenant, bundle, engine, precision), "same text")
    };
    let mine = name("acme", "b1", "rust-bert", "f32");
    Replica::new(&server.url()).put(mine, &scores(1.0)).await;

    let reader = Replica::new(&server.url());
    let others = [
        name("zeta", "b1", "rust-bert", "f32"),
        name("acme", "b2", "rust-bert", "f32"),
        name("acme", "b1", "onnx", "f32"),
        name("acme", "b1", "rust-bert", "bf16"),
        name("acmeb", "1", "rust-bert", "f32"),
        other_key.fingerprint(&Scope::new("acme", "b1", "rust-bert", "f32"), "same text"),
    ];
    assert!(reader.cache.get(&others).await.iter().all(Option::is_none));
    assert_eq!(reader.failures(FailureKind::Corrupt), 0);
    assert_eq!(reader.get(mine).await, Some((scores(1.0), Level::Redis)));

    // Even a service that learns the name cannot use the value without the key it was written with.
    let stranger = Replica::with(&server.url(), &other_digits, LABELS, 10_000);
    assert_eq!(stranger.get(mine).await, None);
    assert_eq!(stranger.failures(FailureKind::Corrupt), 1);
}

#[tokio::test]
async fn no_text_reaches_redis_or_the_log() {
    let (log, _guard) = capture_logs();
    let server = Server::start().await;
    let mut connection = server.connect().await.unwrap();
    let replica = Replica::new(&server.url());
    let key = FingerprintKey::from_hex(KEY).unwrap();
    let scope = Scope::new("canary-tenant", "canary-bundle", "rust-bert", "f32");
    let names: Vec<_> =
        (0..100).map(|i| key.fingerprint(&scope, &format!("canary-text {i}: my card was charged twice"))).collect();
    let entries: Vec<_> = names.iter().map(|name| (*name, scores(1.0))).collect();
    replica.cache.put(&entries).await;

    let keys = server.keys().await;
    assert_eq!(keys.len(), names.len());
    for key in &keys {
        let digits = key.strip_prefix("bedside:v1:").unwrap();
        assert!(digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()), "{key}");
        let value: Vec<u8> = connection.get(key).await.unwrap();
        assert_eq!(value.len(), 1 + 4 + 4 * LABELS + 32);
        assert!(!holds(&value, "canary") && !holds(&value, "card"));
        let _: () = connection.set(key, "damaged").await.unwrap();
    }

    // Provoke all that is logged: damaged values, then a server that is gone.
    let reader = Replica::new(&server.url());
    assert!(reader.cache.get(&names).await.iter().all(Option::is_none));
    assert_eq!(reader.failures(FailureKind::Corrupt), 100);
    drop(server);
    while !reader.is_open() {
        reader.cache.get(&names).await;
        reader.cache.put(&entries[..1]).await;
    }
    let log = log.lock().unwrap();
    assert!(holds(&log, "none of ours") && holds(&log, "unavailable"));
    assert!(!holds(&log, "canary") && !holds(&log, "card") && !holds(&log, KEY));
}
