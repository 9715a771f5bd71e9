//! From settings to a spine that is ready to work: everything is opened, verified and warmed up here, or refused.

use std::{fs, path::PathBuf, sync::Arc};

use prometheus_client::registry::Registry;

use crate::{
    advice::{AdviceError, Advisor},
    assessment::Interpreter,
    cache::{
        CacheMetrics, CacheSettings, FingerprintKey, Scope, Tiered, fingerprint::KeyError, redis::RedisCacheError,
    },
    config::Settings,
    model::{Bundle, BundleError, Precision, Scheduler, TextEncoder, scheduler::StartError},
    triage::Triager,
};

/// The text of the warm-up inference.
const WARM_UP: &str = "Hello, I cannot log in since this morning. Could you help?";

/// The only tenant as long as callers have no credentials.
const TENANT: &str = "default";

/// Why the service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// The bundle was refused.
    #[error("model bundle refused: {0}")]
    Bundle(#[from] BundleError),
    /// An engine did not come up.
    #[error("model engine failed: {0}")]
    Engine(#[from] StartError),
    /// The policy or the catalogue was refused.
    #[error(transparent)]
    Advice(#[from] AdviceError),
    /// The key for fingerprints cannot be had.
    #[error("cache key: {0}")]
    Key(#[from] KeyError),
    /// The Redis settings cannot work.
    #[error("cache.redis: {0}")]
    Redis(#[from] RedisCacheError),
    /// No place to keep the key that is made on first start.
    #[error("cache.key_file is not set and there is no state folder: set XDG_STATE_HOME or HOME, or cache.key")]
    NoStateFolder,
}

/// Builds the spine and registers what its rooms count. Blocks for as long as loading takes; to be called within the
/// context of the runtime that will serve, but not on its threads.
///
/// # Errors
/// The first part that cannot be had, and why.
pub fn triager(settings: &Settings, registry: &mut Registry) -> Result<(Triager, Precision), StartupError> {
    let bundle = Bundle::open(&settings.model.bundle)?;
    let advisor = Advisor::load(settings.advice.policy.as_deref(), settings.advice.catalogue.as_deref())?;
    let encoder = TextEncoder::open(&bundle)?;
    let engine = settings.model.engine;
    let precision = settings.model.precision.resolve(&bundle);
    let fingerprint_key = fingerprint_key(&settings.cache)?;
    let cache_metrics = CacheMetrics::default();
    cache_metrics.register(registry);
    let cache = Tiered::new(&settings.cache, &fingerprint_key, bundle.label_count(), cache_metrics)?;
    let loader = {
        let bundle = bundle.clone();
        Arc::new(move || engine.load(&bundle, precision))
    };
    let warm_up = encoder.windows(WARM_UP).swap_remove(0);
    let scheduler = Scheduler::start(settings.model.scheduler(), loader, warm_up)?;
    let triager = Triager {
        scope: Scope::new(TENANT, &bundle.digest, &engine.to_string(), &precision.to_string()),
        interpreter: Interpreter::new(&bundle),
        bundle,
        encoder,
        scheduler,
        cache: Box::new(cache),
        fingerprint_key,
        advisor,
    };
    Ok((triager, precision))
}

/// The key from the settings, or the one that was made and kept on the first start.
fn fingerprint_key(settings: &CacheSettings) -> Result<FingerprintKey, StartupError> {
    if settings.key.is_some() || settings.key_file.is_some() {
        return Ok(settings.fingerprint_key()?);
    }
    if settings.redis.url.is_some() {
        tracing::warn!(
            "cache.key and cache.key_file are not set: this machine's own key is used, so replicas elsewhere share nothing"
        );
    }
    let folder = state_folder().ok_or(StartupError::NoStateFolder)?;
    let file = folder.join("fingerprint.key");
    fs::create_dir_all(&folder).map_err(|source| KeyError::Create { path: file.clone(), source })?;
    Ok(FingerprintKey::load_or_create(&file)?)
}

/// Where the XDG base directory specification wants state that outlives a process.
fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("bedside"))
}
