//! The transport: gRPC for integrators, HTTP for the public and for operations. The only room that knows tonic and axum.

use std::{future::Future, io, sync::Arc, time::Duration};

use futures::{Stream, StreamExt};
use tokio::{
    net::{TcpListener, TcpStream},
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;
use tonic::transport::{Server, server::TcpIncoming};
use tonic_health::{ServingStatus, server::HealthReporter};

use crate::{
    config::{Limits, ServerSettings, Settings},
    telemetry::Metrics,
    triage::Triager,
};

mod deadline;
mod error;
mod http;
mod model_service;
mod triage_service;
mod validate;
mod wire;

use model_service::ModelApi;
use triage_service::TriageApi;

/// The contract, generated from `proto/`.
#[allow(missing_docs, unreachable_pub, clippy::large_enum_variant)]
pub mod proto {
    tonic::include_proto!("bedside.v1");

    /// All of the contract's descriptors, for reflection.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/bedside.bin"));
}

use proto::{model_service_server::ModelServiceServer, triage_service_server::TriageServiceServer};

/// The sockets to serve on, bound by the caller.
pub struct Listeners {
    /// gRPC.
    pub grpc: TcpListener,
    /// Public HTTP.
    pub http: TcpListener,
    /// Health, readiness and metrics.
    pub ops: TcpListener,
}

/// What the services work with.
pub struct Deps {
    /// The spine, warmed up.
    pub triager: Arc<Triager>,
    /// What a request may hold.
    pub limits: Limits,
    /// How requests are let in.
    pub server: ServerSettings,
    /// Where they are counted.
    pub metrics: Arc<Metrics>,
}

impl Deps {
    /// What `settings` say, around a spine.
    pub fn new(settings: &Settings, triager: Triager, metrics: Metrics) -> Self {
        Self {
            triager: Arc::new(triager),
            limits: settings.limits,
            server: settings.server.clone(),
            metrics: Arc::new(metrics),
        }
    }
}

/// Serves until `shutdown` completes, then lets requests in flight finish, but not for longer than
/// [`ServerSettings::drain_ms`].
///
/// # Errors
/// When a listener fails.
pub async fn serve(listeners: Listeners, deps: Deps, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let stopping = CancellationToken::new();
    let (health, health_service) = tonic_health::server::health_reporter();
    // tonic-health starts the empty name as SERVING; nothing is served yet.
    set_health(&health, ServingStatus::NotServing).await;

    let drain = Duration::from_millis(deps.server.drain_ms);
    // Version 1 alpha beside 1: it is all that the clients of several languages ask for.
    let reflection_v1 =
        deps.server.reflection.then(|| reflection().build_v1()).transpose().map_err(io::Error::other)?;
    let reflection_v1alpha =
        deps.server.reflection.then(|| reflection().build_v1alpha()).transpose().map_err(io::Error::other)?;
    let deadlines = deadline::DeadlineLayer::new(deps.server.max_deadline());
    let request_bytes = deps.limits.max_request_bytes;
    let deps = Arc::new(deps);
    let triage = TriageServiceServer::new(TriageApi::new(deps.clone(), stopping.clone()))
        .max_decoding_message_size(request_bytes);
    let model = ModelServiceServer::new(ModelApi::new(deps.clone()));
    let ready = http::Readiness::default();

    let grpc = Server::builder()
        .http2_keepalive_interval(Some(Duration::from_secs(30)))
        .http2_keepalive_timeout(Some(Duration::from_secs(20)))
        .max_concurrent_streams(Some(256))
        .layer(deadlines)
        .add_service(health_service)
        .add_optional_service(reflection_v1)
        .add_optional_service(reflection_v1alpha)
        .add_service(triage)
        .add_service(model)
        .serve_with_incoming_shutdown(incoming(listeners.grpc), stopping.clone().cancelled_owned());
    let public =
        axum::serve(listeners.http, http::public(&deps)).with_graceful_shutdown(stopping.clone().cancelled_owned());
    // Operations are the last to go, so that a probe sees the drain and a scrape what came of it.
    let drained = CancellationToken::new();
    let ops = axum::serve(listeners.ops, http::ops(ready.clone(), &deps))
        .with_graceful_shutdown(drained.clone().cancelled_owned())
        .into_future();
    let servers = async {
        let grpc = async { grpc.await.map_err(io::Error::other) };
        tokio::try_join!(grpc, public.into_future()).map(|_| ())
    };
    tokio::pin!(servers, ops);

    // The warm-up inference has passed before `deps` could be built.
    set_health(&health, ServingStatus::Serving).await;
    ready.set(true);
    tokio::select! {
        served = &mut servers => return served,
        served = &mut ops => return served,
        () = shutdown => {}
    }
    tracing::info!(drain_ms = drain.as_millis() as u64, "stopping: letting requests in flight finish");
    ready.set(false);
    set_health(&health, ServingStatus::NotServing).await;
    stopping.cancel();
    let served = tokio::select! {
        served = timeout(drain, servers) => served,
        served = &mut ops => return served,
    };
    drained.cancel();
    // A scrape in flight may finish; an idle connection of a scraper must not hold the process up.
    let _ = timeout(OPS_GRACE, ops).await;
    served.unwrap_or_else(|_| {
        tracing::warn!("requests or connections were still open after the drain time; they are closed now");
        Ok(())
    })
}

/// How long operations may go on after the last request.
const OPS_GRACE: Duration = Duration::from_secs(1);

/// Connections as they are accepted, without Nagle's delay. When that fails, for want of descriptors say, it is tried
/// again after a pause, and not at once for ever.
fn incoming(listener: TcpListener) -> impl Stream<Item = io::Result<TcpStream>> {
    TcpIncoming::from(listener).with_nodelay(Some(true)).then(|accepted| async {
        if let Err(error) = &accepted {
            tracing::warn!(%error, "cannot accept a connection");
            sleep(Duration::from_millis(100)).await;
        }
        accepted
    })
}

async fn set_health(health: &HealthReporter, status: ServingStatus) {
    for service in ["", "bedside.v1.TriageService", "bedside.v1.ModelService"] {
        health.set_service_status(service, status).await;
    }
}

/// Reflection over the public services.
fn reflection() -> tonic_reflection::server::Builder<'static> {
    tonic_reflection::server::Builder::configure()
        .register_encoded_file_descriptor_set(proto::DESCRIPTORS)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
