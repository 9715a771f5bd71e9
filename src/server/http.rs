//! HTTP for the public and for operations.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use axum::{
    Json, Router, extract::State, http::StatusCode, http::header::CONTENT_TYPE, response::IntoResponse, routing::get,
};
use serde_json::json;

use super::Deps;

/// Whether requests should be sent here.
#[derive(Clone, Default)]
pub(super) struct Readiness(Arc<AtomicBool>);

impl Readiness {
    pub(super) fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// The public listener: what is served here, for whoever opens the address in a browser.
pub(super) fn public(deps: &Deps) -> Router {
    let bundle = &deps.triager.bundle;
    let about = json!({
        "service": "bedside",
        "version": env!("CARGO_PKG_VERSION"),
        "model": format!("{}@{}", bundle.name, bundle.version),
        "grpc": ["bedside.v1.TriageService", "bedside.v1.ModelService", "grpc.health.v1.Health"],
    });
    let about = get(move || async move { Json(about) });
    Router::new().route("/", about).fallback(|| async { (StatusCode::NOT_FOUND, Json(json!({"error": "not found"}))) })
}

/// The operations listener.
pub(super) fn ops(ready: Readiness, deps: &Arc<Deps>) -> Router {
    let readyz = get(move || async move {
        if ready.get() { (StatusCode::OK, "ready\n") } else { (StatusCode::SERVICE_UNAVAILABLE, "not ready\n") }
    });
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", readyz)
        .route("/metrics", get(metrics))
        .with_state(deps.clone())
}

async fn metrics(State(deps): State<Arc<Deps>>) -> impl IntoResponse {
    deps.metrics.queue_tokens.set(i64::try_from(deps.triager.scheduler.queued_tokens()).unwrap_or(i64::MAX));
    match deps.metrics.encode() {
        Ok(text) => {
            ([(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8")], text).into_response()
        }
        Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
