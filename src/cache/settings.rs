//! How the cache is set up.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize, Serializer};

use super::fingerprint::{FingerprintKey, KeyError};
use super::redis::connection_info;

/// The longest time to live, one year in seconds: longer is a slip of the keyboard.
pub const MAX_TTL_SECONDS: u64 = 365 * 24 * 60 * 60;

const MAX_TIMEOUT_MS: u64 = 60_000;

/// Where scores are kept, for how long, and the key their names depend on.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct CacheSettings {
    /// The first level, in this process.
    pub memory: MemorySettings,
    /// The second level, which replicas share.
    pub redis: RedisSettings,
    /// The fingerprint key as 64 hexadecimal digits. Replicas that shall share scores need the same one.
    pub key: Option<Secret>,
    /// A file that holds the fingerprint key, created with a random key when it is missing. Instead of `key`; with
    /// neither, the service keeps one in its state folder.
    pub key_file: Option<PathBuf>,
}

/// The first level, in this process.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MemorySettings {
    /// How many texts' scores are kept, at least 1; each takes about 0.7 kB with 60 labels.
    pub max_entries: u64,
    /// How long scores are kept, in seconds, 1 to 31 536 000 (a year).
    pub ttl_seconds: u64,
}

/// The second level, which replicas share.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RedisSettings {
    /// `redis://[user][:password@]host[:port][/database]`; none means no second level.
    pub url: Option<Secret>,
    /// How long scores are kept, in seconds, 1 to 31 536 000 (a year); each entry gets up to a tenth more or less, so
    /// that they do not all expire at once.
    pub ttl_seconds: u64,
    /// What one look-up or store may cost a request, in milliseconds, 1 to 60 000.
    pub operation_timeout_ms: u64,
    /// How long connecting may take in the background, in milliseconds, 1 to 60 000.
    pub connect_timeout_ms: u64,
    /// What Redis keys begin with, 1 to 64 of the characters `A-Z a-z 0-9 . _ : -`.
    pub key_prefix: String,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self { max_entries: 100_000, ttl_seconds: 86_400 }
    }
}

impl Default for RedisSettings {
    fn default() -> Self {
        Self {
            url: None,
            ttl_seconds: 7 * 86_400,
            operation_timeout_ms: 50,
            connect_timeout_ms: 1_000,
            key_prefix: "bedside".to_owned(),
        }
    }
}

impl CacheSettings {
    /// The fingerprint key these settings ask for, if they do. May create the key file.
    ///
    /// # Errors
    /// When the key is malformed, or its file can be neither read nor made.
    pub fn fingerprint_key(&self) -> Option<Result<FingerprintKey, KeyError>> {
        match (&self.key, &self.key_file) {
            (Some(digits), _) => Some(FingerprintKey::from_hex(digits.expose())),
            (None, Some(path)) => Some(FingerprintKey::load_or_create(path)),
            (None, None) => None,
        }
    }

    /// All that is wrong with the values: the path of each field below these settings, and its problem. Never repeats
    /// a secret, and touches neither files nor the network.
    pub fn violations(&self) -> Vec<(String, String)> {
        let mut found = Vec::new();
        let mut add = |field: &str, problem: String| found.push((field.to_owned(), problem));

        if self.memory.max_entries == 0 {
            add("memory.max_entries", "must be at least 1".to_owned());
        }
        let (memory, redis) = (&self.memory, &self.redis);
        for (field, value, most) in [
            ("memory.ttl_seconds", memory.ttl_seconds, MAX_TTL_SECONDS),
            ("redis.ttl_seconds", redis.ttl_seconds, MAX_TTL_SECONDS),
            ("redis.operation_timeout_ms", redis.operation_timeout_ms, MAX_TIMEOUT_MS),
            ("redis.connect_timeout_ms", redis.connect_timeout_ms, MAX_TIMEOUT_MS),
        ] {
            if !(1..=most).contains(&value) {
                add(field, format!("must be 1 to {most}, not {value}"));
            }
        }
        let prefix = &redis.key_prefix;
        let fits = |c: char| c.is_ascii_alphanumeric() || "._:-".contains(c);
        if !(1..=64).contains(&prefix.len()) || !prefix.chars().all(fits) {
            let problem = "must be 1 to 64 of the characters A-Z a-z 0-9 . _ : -";
            add("redis.key_prefix", problem.to_owned());
        }
        if let Some(Err(error)) = redis.url.as_ref().map(connection_info) {
            add("redis.url", error.to_string());
        }
        if let Some(digits) = &self.key {
            if let Err(error) = FingerprintKey::from_hex(digits.expose()) {
                add("key", error.to_string());
            }
            if self.key_file.is_some() {
                add("key_file", "cannot be set together with key".to_owned());
            }
        }
        found
    }
}

/// Text that is read from settings but never shown: it prints and serialises as `<redacted>`.
#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

impl Secret {
    /// Takes a text into keeping.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the one place that needs it.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str("<redacted>")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(settings: &CacheSettings) -> Vec<String> {
        settings.violations().into_iter().map(|(field, _)| field).collect()
    }

    #[test]
    fn the_defaults_are_right_and_unknown_keys_are_not() {
        assert!(CacheSettings::default().violations().is_empty());
        let settings: CacheSettings = toml::from_str("").unwrap();
        assert_eq!(settings.memory.max_entries, 100_000);
        assert_eq!(settings.redis.operation_timeout_ms, 50);
        for text in ["colour = 1", "[memory]\nsize = 1", "[redis]\nurls = ''"] {
            toml::from_str::<CacheSettings>(text).unwrap_err();
        }
    }

    #[test]
    fn every_problem_is_listed_at_once() {
        let settings: CacheSettings = toml::from_str(
            r#"
            key = "c0ffee"
            key_file = "/var/lib/bedside/key"
            memory = { max_entries = 0, ttl_seconds = 0 }
            [redis]
            url = "http://:hunter2@cache"
            ttl_seconds = 99999999999
            operation_timeout_ms = 0
            connect_timeout_ms = 60001
            key_prefix = "be side"
            "#,
        )
        .unwrap();
        let expected = [
            "memory.max_entries",
            "memory.ttl_seconds",
            "redis.ttl_seconds",
            "redis.operation_timeout_ms",
            "redis.connect_timeout_ms",
            "redis.key_prefix",
            "redis.url",
            "key",
            "key_file",
        ];
        assert_eq!(fields(&settings), expected);
        for shown in
            [format!("{settings:?}"), format!("{:?}", settings.violations()), toml::to_string(&settings).unwrap()]
        {
            assert!(!shown.contains("hunter2") && !shown.contains("c0ffee"), "{shown}");
        }
    }

    #[test]
    fn a_malformed_url_is_named_without_its_password() {
        let mut settings = CacheSettings { key: Some(Secret::new("0".repeat(64))), ..CacheSettings::default() };
        for good in
            ["redis://cache", "redis://:hunter2@cache:6380/3", "redis://user:hunter2@[::1]", "unix:///run/redis.sock"]
        {
            settings.redis.url = Some(Secret::new(good));
            assert_eq!(settings.violations(), [], "{good}");
        }
        for bad in [
            "",
            "cache:6379",
            "http://:hunter2@cache",
            "redis://",
            "redis://:hunter2@cache/first",
            "redis://:hunt#er2@cache",
            "redis://user:12#hunter2@cache",
            "redis://cache?protocol=hunter2",
        ] {
            settings.redis.url = Some(Secret::new(bad));
            let found = settings.violations();
            assert_eq!(fields(&settings), ["redis.url"], "{bad}");
            assert!(!format!("{found:?}").contains("hunter2"), "{found:?}");
        }
    }
}
