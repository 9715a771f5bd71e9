//! Settings: defaults, then a TOML file, then the environment, then flags; checked whole before anything is started.

use std::{
    collections::BTreeMap,
    ffi::OsString,
    fmt, fs,
    net::SocketAddr,
    num::NonZeroUsize,
    path::{Path, PathBuf},
    time::Duration,
};

use config::{Config, Environment, Map, Value, ValueKind};
use serde::{Deserialize, Serialize};

use crate::{
    cache::CacheSettings,
    model::{EngineChoice, PrecisionChoice, scheduler::SchedulerSettings},
};

/// Everything that can be set. The key of a setting is its path, such as `server.grpc_addr`; in the environment
/// `BEDSIDE_SERVER__GRPC_ADDR`.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Listeners and how requests are let in.
    pub server: ServerSettings,
    /// The model and how it is run.
    pub model: ModelSettings,
    /// What a request may hold.
    pub limits: Limits,
    /// Where scores are kept.
    pub cache: CacheSettings,
    /// Routing and cues.
    pub advice: AdviceSettings,
    /// What is logged and how.
    pub log: LogSettings,
}

/// Listeners and how requests are let in.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerSettings {
    /// Where gRPC is served.
    pub grpc_addr: SocketAddr,
    /// Where public HTTP is served.
    pub http_addr: SocketAddr,
    /// Where health, readiness and metrics are served; not for the public.
    pub ops_addr: SocketAddr,
    /// Whether gRPC reflection is served.
    pub reflection: bool,
    /// Requests that are worked on at the same time, over all connections; more are refused at once.
    pub max_in_flight: usize,
    /// Longest time in milliseconds to work on a request, whatever the caller's deadline; also for callers without one.
    pub max_deadline_ms: u64,
    /// Longest time in milliseconds that requests in flight get to finish on shutdown.
    pub drain_ms: u64,
}

/// The model and how it is run.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ModelSettings {
    /// The bundle's folder.
    pub bundle: PathBuf,
    /// The engine.
    pub engine: EngineChoice,
    /// The number format.
    pub precision: PrecisionChoice,
    /// The file of ONNX Runtime's library; unset: the one that `ONNXRUNTIME_LIB` names, else the system's.
    pub onnxruntime: Option<PathBuf>,
    /// Worker threads; 0: as many as the process may use cores.
    pub workers: usize,
    /// Tokens that may wait for a worker, of single tickets and of batches each; more are refused.
    pub queue_tokens: usize,
    /// Longest time in milliseconds that a single ticket may have to wait for a worker; when it would be longer, by the
    /// speed of late, the ticket is refused at once. Batches may wait until their deadline.
    pub max_wait_ms: u64,
    /// Tokens that one inference takes at most.
    pub batch_tokens: usize,
}

/// What a request may hold.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Characters of subject and messages together.
    pub max_ticket_chars: usize,
    /// Messages in a ticket.
    pub max_messages: usize,
    /// Items in a batch.
    pub max_batch_items: usize,
    /// Bytes of an encoded request.
    pub max_request_bytes: usize,
}

/// Routing and cues.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdviceSettings {
    /// The routing policy's file; unset: the one that is built in.
    pub policy: Option<PathBuf>,
    /// The cue catalogue's file; unset: the one that is built in.
    pub catalogue: Option<PathBuf>,
}

/// What is logged and how.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogSettings {
    /// Directives of `tracing-subscriber`'s `EnvFilter`, such as `info` or `bedside=debug,info`.
    pub filter: String,
    /// The format.
    pub format: LogFormat,
}

/// The format of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// Human on a terminal, JSON otherwise.
    Auto,
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}

impl Default for ServerSettings {
    fn default() -> Self {
        let local = |port| SocketAddr::from(([127, 0, 0, 1], port));
        Self {
            grpc_addr: local(50051),
            http_addr: local(8080),
            ops_addr: local(9090),
            reflection: true,
            max_in_flight: 256,
            max_deadline_ms: 10_000,
            drain_ms: 20_000,
        }
    }
}

impl Default for ModelSettings {
    fn default() -> Self {
        Self {
            bundle: PathBuf::from("models/bedside-minilm"),
            engine: EngineChoice::Auto,
            precision: PrecisionChoice::Auto,
            onnxruntime: None,
            workers: 0,
            queue_tokens: 65_536,
            max_wait_ms: 1_000,
            batch_tokens: 1_024,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_ticket_chars: 50_000, max_messages: 200, max_batch_items: 128, max_request_bytes: 4 * 1024 * 1024 }
    }
}

impl Default for LogSettings {
    fn default() -> Self {
        Self { filter: "info".to_owned(), format: LogFormat::Auto }
    }
}

impl ServerSettings {
    /// [`ServerSettings::max_deadline_ms`] as a duration.
    pub fn max_deadline(&self) -> Duration {
        Duration::from_millis(self.max_deadline_ms)
    }
}

impl ModelSettings {
    /// What the scheduler needs to know.
    pub fn scheduler(&self) -> SchedulerSettings {
        // Respects CPU affinity and cgroup quotas.
        let cores = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        SchedulerSettings {
            workers: if self.workers == 0 { cores } else { self.workers },
            queue_tokens: self.queue_tokens,
            max_wait: Duration::from_millis(self.max_wait_ms),
            batch_tokens: self.batch_tokens,
        }
    }
}

/// One setting that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// The setting's path, such as `server.grpc_addr`.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
}

/// Every setting that is wrong, never none.
#[derive(Debug, Clone, thiserror::Error)]
pub struct InvalidSettings(pub Vec<Violation>);

impl fmt::Display for InvalidSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the configuration is not valid:")?;
        self.0.iter().try_for_each(|violation| write!(f, "\n  {}: {}", violation.setting, violation.problem))
    }
}

impl Settings {
    /// Reads all layers: `defaults` (setting and value) in place of the built-in ones, `file` if there is one, variables
    /// from `environment`, then `overrides` from flags.
    ///
    /// # Errors
    /// Every unknown key, value of the wrong type and value out of range.
    pub fn load(
        defaults: &[(&str, &str)],
        file: Option<&Path>,
        environment: impl IntoIterator<Item = (OsString, OsString)>,
        overrides: &[(&str, String)],
    ) -> Result<Self, InvalidSettings> {
        let mut layers = Config::builder();
        for (setting, value) in defaults {
            layers = layers.set_default(*setting, *value).map_err(|error| malformed(setting, &error))?;
        }
        if let Some(file) = file {
            layers = layers.add_source(Config::try_from(&table(file)?).map_err(|error| malformed("file", &error))?);
        }
        let variables = Environment::with_prefix("BEDSIDE").prefix_separator("_").separator("__").ignore_empty(true);
        layers = layers.add_source(variables.source(Some(own_variables(environment)?)));
        for (setting, value) in overrides {
            layers = layers.set_override(*setting, value.as_str()).map_err(|error| malformed(setting, &error))?;
        }
        let given = layers.build().map_err(|error| malformed("configuration", &error))?;
        Self::from_leaves(leaves(given.cache))
    }

    /// Applies one value after the other, so that each that is wrong can be named.
    fn from_leaves(leaves: BTreeMap<String, Value>) -> Result<Self, InvalidSettings> {
        let mut violations = Vec::new();
        let mut accepted = Config::builder();
        for (setting, value) in leaves {
            let alone = Config::builder().set_override(&setting, value.clone());
            let alone = alone.and_then(|alone| alone.build()?.try_deserialize::<Self>());
            match alone {
                Ok(_) => {
                    // It has just been set in the same way.
                    if let Ok(next) = accepted.clone().set_override(&setting, value) {
                        accepted = next;
                    }
                }
                Err(error) => violations.push(Violation { setting, problem: without_value(&error) }),
            }
        }
        let settings: Self = match accepted.build().and_then(Config::try_deserialize) {
            Ok(settings) => settings,
            Err(error) => {
                violations.push(Violation { setting: "configuration".to_owned(), problem: without_value(&error) });
                return Err(InvalidSettings(violations));
            }
        };
        violations.extend(settings.violations());
        if violations.is_empty() { Ok(settings) } else { Err(InvalidSettings(violations)) }
    }

    /// What is wrong with values that have the right type.
    fn violations(&self) -> Vec<Violation> {
        let mut found: Vec<Violation> = Vec::new();
        let mut demand = |setting: &str, holds: bool, problem: &str| {
            if !holds {
                found.push(Violation { setting: setting.to_owned(), problem: problem.to_owned() });
            }
        };
        let server = &self.server;
        let above_0 = "must be above 0";
        demand("server.max_in_flight", server.max_in_flight > 0, above_0);
        demand("server.max_deadline_ms", server.max_deadline_ms > 0, above_0);
        let fixed: Vec<_> =
            [server.grpc_addr, server.http_addr, server.ops_addr].into_iter().filter(|addr| addr.port() != 0).collect();
        let distinct: std::collections::BTreeSet<_> = fixed.iter().collect();
        demand("server", distinct.len() == fixed.len(), "grpc_addr, http_addr and ops_addr must differ");
        demand("model.bundle", self.model.bundle.is_dir(), "is not a folder");
        demand("model.workers", self.model.workers <= 256, "must be at most 256");
        demand("model.queue_tokens", self.model.queue_tokens > 0, above_0);
        demand("model.max_wait_ms", self.model.max_wait_ms > 0, above_0);
        demand("model.batch_tokens", self.model.batch_tokens > 0, above_0);
        demand("limits.max_ticket_chars", self.limits.max_ticket_chars > 0, above_0);
        demand("limits.max_messages", self.limits.max_messages > 0, above_0);
        demand("limits.max_batch_items", self.limits.max_batch_items > 0, above_0);
        demand("limits.max_request_bytes", self.limits.max_request_bytes >= 1024, "must be at least 1024");
        let filter = tracing_subscriber::EnvFilter::try_new(&self.log.filter);
        demand("log.filter", filter.is_ok(), "is not a list of filter directives");
        let files = [("advice.policy", &self.advice.policy), ("advice.catalogue", &self.advice.catalogue)];
        for (setting, file) in files {
            demand(setting, file.as_ref().is_none_or(|file| file.is_file()), "is not a file");
        }
        let cache = self.cache.violations().into_iter();
        found.extend(cache.map(|(setting, problem)| Violation { setting: format!("cache.{setting}"), problem }));
        found
    }
}

fn malformed(setting: &str, error: &config::ConfigError) -> InvalidSettings {
    InvalidSettings(vec![Violation { setting: setting.to_owned(), problem: without_value(error) }])
}

/// A settings file. Its errors name the line and not what is in it, which can be a secret.
fn table(file: &Path) -> Result<toml::Table, InvalidSettings> {
    let at = |line: Option<usize>, problem: String| {
        let line = line.map_or_else(String::new, |line| format!(":{line}"));
        InvalidSettings(vec![Violation { setting: format!("{}{line}", file.display()), problem }])
    };
    let text = fs::read_to_string(file).map_err(|error| at(None, error.to_string()))?;
    toml::from_str(&text).map_err(|error: toml::de::Error| {
        let start = error.span().map_or(0, |span| span.start);
        let line = 1 + text.bytes().take(start).filter(|byte| *byte == b'\n').count();
        at(Some(line), "is not valid TOML".to_owned())
    })
}

/// The variables that are settings: not the name of the file, and not what Kubernetes tells every pod about a Service
/// that is called bedside.
fn own_variables(
    environment: impl IntoIterator<Item = (OsString, OsString)>,
) -> Result<Map<String, String>, InvalidSettings> {
    let foreign = |name: &str| {
        name == "BEDSIDE_CONFIG" || name.starts_with("BEDSIDE_SERVICE_") || name.starts_with("BEDSIDE_PORT")
    };
    let mut own = Map::new();
    for (name, value) in environment {
        let Some(name) = name.to_str().filter(|name| name.starts_with("BEDSIDE_") && !foreign(name)) else {
            continue;
        };
        let Ok(value) = value.into_string() else {
            let problem = "is not UTF-8".to_owned();
            return Err(InvalidSettings(vec![Violation { setting: name.to_owned(), problem }]));
        };
        own.insert(name.to_owned(), value);
    }
    Ok(own)
}

fn leaves(root: Value) -> BTreeMap<String, Value> {
    let mut found = BTreeMap::new();
    let mut open = vec![(String::new(), root)];
    while let Some((path, value)) = open.pop() {
        match value.kind {
            ValueKind::Table(table) => open.extend(table.into_iter().map(|(key, value)| {
                let path = if path.is_empty() { key } else { format!("{path}.{key}") };
                (path, value)
            })),
            _ => {
                found.insert(path, value);
            }
        }
    }
    found
}

/// What is wrong, without the value: it can be a secret.
fn without_value(error: &config::ConfigError) -> String {
    match error {
        config::ConfigError::Type { expected, origin, .. } => {
            let origin = origin.as_ref().map_or_else(String::new, |origin| format!(" (from {origin})"));
            format!("must be {expected}{origin}")
        }
        config::ConfigError::At { error, .. } => without_value(error),
        // serde's own words quote the value, then say what was expected instead.
        other => match other.to_string() {
            text if text.starts_with("invalid ") => match text.split_once("expected ") {
                Some((_, expected)) => format!("must be {expected}"),
                None => "is not valid".to_owned(),
            },
            text => text,
        },
    }
}

#[cfg(test)]
mod tests;
