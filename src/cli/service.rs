//! Starts the service inside this process, for the commands that need one.

use std::{future::Future, io, net::SocketAddr};

use tokio::{net::TcpListener, runtime::Runtime, signal, task::JoinHandle};
use tokio_util::sync::CancellationToken;

use super::Failure;
use crate::{
    config::Settings,
    server::{Deps, Listeners, serve},
    startup::{self, Parts},
    telemetry::Metrics,
};

/// The sockets, bound before the model is loaded so that a taken port is known at once.
pub(super) async fn bind(settings: &Settings) -> Result<Listeners, Failure> {
    let server = &settings.server;
    let bind = |setting: &'static str, addr: SocketAddr| async move {
        let bound = TcpListener::bind(addr).await;
        bound.map_err(|error| Failure::from(format!("cannot listen on {setting} = {addr}: {error}")))
    };
    Ok(Listeners {
        grpc: bind("server.grpc_addr", server.grpc_addr).await?,
        http: bind("server.http_addr", server.http_addr).await?,
        ops: bind("server.ops_addr", server.ops_addr).await?,
    })
}

/// Loads everything and serves until `shutdown` completes. `runtime` is the one that will serve.
pub(super) fn run(
    runtime: &Runtime,
    settings: &Settings,
    parts: Parts,
    listeners: Listeners,
    shutdown: impl Future<Output = ()>,
) -> Result<(), Failure> {
    let deps = load(runtime, settings, parts)?;
    announce(settings, &listeners, &deps)?;
    Ok(runtime.block_on(serve(listeners, deps, shutdown))?)
}

/// A service in the background of this process, on ports of its own choosing where the settings leave that open.
pub(super) struct Background {
    /// Where gRPC is served.
    pub(super) grpc_addr: SocketAddr,
    stop: CancellationToken,
    served: JoinHandle<io::Result<()>>,
}

impl Background {
    pub(super) fn start(runtime: &Runtime, settings: &Settings) -> Result<Self, Failure> {
        let parts = startup::open(settings)?;
        let listeners = runtime.block_on(bind(settings))?;
        let deps = load(runtime, settings, parts)?;
        announce(settings, &listeners, &deps)?;
        let grpc_addr = listeners.grpc.local_addr()?;
        let stop = CancellationToken::new();
        let served = runtime.spawn(serve(listeners, deps, stop.clone().cancelled_owned()));
        Ok(Self { grpc_addr, stop, served })
    }

    /// Stops the service and waits for its end.
    pub(super) fn stop(self, runtime: &Runtime) -> Result<(), Failure> {
        self.stop.cancel();
        Ok(runtime.block_on(self.served)??)
    }
}

fn load(runtime: &Runtime, settings: &Settings, parts: Parts) -> Result<Deps, Failure> {
    // Redis connections belong to the runtime that they are made in.
    let _context = runtime.enter();
    let mut metrics = Metrics::new();
    let triager = startup::triager(settings, parts, metrics.registry())?;
    Ok(Deps::new(settings, triager, metrics))
}

fn announce(settings: &Settings, listeners: &Listeners, deps: &Deps) -> io::Result<()> {
    let bundle = &deps.triager.bundle;
    tracing::info!(
        version = env!("CARGO_PKG_VERSION"),
        bundle = %format_args!("{}@{}", bundle.name, bundle.version),
        engine = %deps.triager.selection.engine,
        precision = %deps.triager.selection.precision,
        reason = %deps.triager.selection.reason,
        workers = settings.model.scheduler().workers,
        grpc = %listeners.grpc.local_addr()?,
        http = %listeners.http.local_addr()?,
        ops = %listeners.ops.local_addr()?,
        "serving"
    );
    Ok(())
}

/// Completes on SIGTERM or Ctrl-C.
pub(super) async fn stop_signal() {
    let interrupt = async {
        if signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    let terminate = async {
        match signal::unix::signal(signal::unix::SignalKind::terminate()) {
            Ok(mut signals) => {
                signals.recv().await;
            }
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminate = std::future::pending::<()>();
    tokio::select! {
        () = interrupt => {}
        () = terminate => {}
    }
}
