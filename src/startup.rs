//! From settings to a spine that is ready to work: everything is opened, verified and warmed up here, or refused.

use std::{fs, path::PathBuf, sync::Arc};

use prometheus_client::registry::Registry;

use crate::{
    advice::Advisor,
    assessment::Interpreter,
    cache::{CacheMetrics, CacheSettings, FingerprintKey, Flights, Scope, Tiered, redis::RedisCacheError},
    config::{InvalidSettings, ModelSettings, Settings, Violation},
    model::{Bundle, Scheduler, Selection, TextEncoder, scheduler::StartError},
    triage::Triager,
};

/// The text of the warm-up inference.
const WARM_UP: &str = "Hello, I cannot log in since this morning. Could you help?";

/// The only tenant as long as callers have no credentials.
const TENANT: &str = "default";

/// What the settings name, opened and verified.
pub struct Parts {
    bundle: Bundle,
    selection: Selection,
    encoder: TextEncoder,
    advisor: Advisor,
    fingerprint_key: FingerprintKey,
}

/// Why the service cannot start with settings and parts that are good.
#[derive(Debug, thiserror::Error)]
pub enum StartupError {
    /// An engine did not come up.
    #[error("model engine failed: {0}")]
    Engine(#[from] StartError),
    /// The Redis settings cannot work.
    #[error("cache.redis: {0}")]
    Redis(#[from] RedisCacheError),
}

/// Opens and verifies everything that the settings name, except the engine.
///
/// # Errors
/// All that is wrong, by the setting that names it.
pub fn open(settings: &Settings) -> Result<Parts, InvalidSettings> {
    let mut violations = Vec::new();
    let mut note = |setting: &str, problem: String| violations.push(Violation { setting: setting.to_owned(), problem });
    let bundle = Bundle::open(&settings.model.bundle).and_then(|bundle| Ok((TextEncoder::open(&bundle)?, bundle)));
    let bundle = bundle.map_err(|error| note("model.bundle", error.to_string())).and_then(|(encoder, bundle)| {
        let ModelSettings { engine, precision, onnxruntime, .. } = &settings.model;
        let selection = Selection::of(*engine, *precision, onnxruntime.as_deref(), &bundle);
        let selection = selection.map_err(|error| note(error.setting(), error.to_string()))?;
        Ok((encoder, bundle, selection))
    });
    let advisor = Advisor::load(settings.advice.policy.as_deref(), settings.advice.catalogue.as_deref());
    let advisor = advisor.map_err(|error| note("advice", error.to_string()));
    let key = fingerprint_key(&settings.cache).map_err(|problem| note("cache.key_file", problem));
    match (bundle, advisor, key) {
        (Ok((encoder, bundle, selection)), Ok(advisor), Ok(fingerprint_key)) => {
            Ok(Parts { bundle, selection, encoder, advisor, fingerprint_key })
        }
        _ => Err(InvalidSettings(violations)),
    }
}

/// Builds the spine and registers what its rooms count. Blocks for as long as loading takes; to be called within the
/// context of the runtime that will serve, but not on its threads.
///
/// # Errors
/// The first part that does not come up, and why.
pub fn triager(settings: &Settings, parts: Parts, registry: &mut Registry) -> Result<Triager, StartupError> {
    let Parts { bundle, selection, encoder, advisor, fingerprint_key } = parts;
    let Selection { engine, precision, .. } = selection;
    let cache_metrics = CacheMetrics::default();
    cache_metrics.register(registry);
    let cache = Tiered::new(&settings.cache, &fingerprint_key, bundle.label_count(), cache_metrics)?;
    let loader = {
        let bundle = bundle.clone();
        Arc::new(move || engine.load(&bundle, precision))
    };
    let warm_up = encoder.windows(WARM_UP).swap_remove(0);
    let scheduler = Scheduler::start(settings.model.scheduler(), loader, warm_up)?;
    Ok(Triager {
        scope: Scope::new(TENANT, &bundle.digest, &engine.to_string(), &precision.to_string()),
        interpreter: Interpreter::new(&bundle),
        bundle,
        selection,
        encoder,
        scheduler,
        cache: Box::new(cache),
        flights: Flights::default(),
        fingerprint_key,
        advisor,
    })
}

/// The key from the settings, or the one that was made and kept on the first start.
fn fingerprint_key(settings: &CacheSettings) -> Result<FingerprintKey, String> {
    if let Some(key) = settings.fingerprint_key() {
        return key.map_err(|error| error.to_string());
    }
    if settings.redis.url.is_some() {
        tracing::warn!("no cache.key or cache.key_file: with this machine's own key, replicas elsewhere share nothing");
    }
    let Some(folder) = state_folder() else {
        return Err("is not set, and there is no state folder: set it, cache.key, XDG_STATE_HOME or HOME".to_owned());
    };
    fs::create_dir_all(&folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    FingerprintKey::load_or_create(&folder.join("fingerprint.key")).map_err(|error| error.to_string())
}

/// Where the XDG base directory specification wants state that outlives a process.
fn state_folder() -> Option<PathBuf> {
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    state.map(|state| state.join("bedside"))
}
