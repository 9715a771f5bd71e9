//! The service with the shipped bundle, in the test's own process, on ports of its own, spoken to through a real gRPC client.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::{net::SocketAddr, path::Path, time::Duration};

use bedside::{
    config::Settings,
    server::{
        Deps, Listeners,
        proto::{self, Author, model_service_client::ModelServiceClient, triage_service_client::TriageServiceClient},
        serve,
    },
    startup,
    telemetry::Metrics,
};
use tokio::{net::TcpListener, sync::oneshot, task::JoinHandle};
use tonic::transport::{Channel, Endpoint};

pub struct Service {
    pub grpc: SocketAddr,
    pub http: SocketAddr,
    pub ops: SocketAddr,
    stop: oneshot::Sender<()>,
    served: JoinHandle<std::io::Result<()>>,
}

/// The default settings, with `overrides`, keeping the key in a folder that the test may write.
pub fn settings(overrides: &[(&str, &str)]) -> Settings {
    let key = "00".repeat(32);
    let mut all = vec![("cache.key", key), ("model.workers", "1".to_owned())];
    all.extend(overrides.iter().map(|(setting, value)| (*setting, (*value).to_owned())));
    Settings::load(&[], None, [], &all).unwrap()
}

pub fn bundle() -> &'static Path {
    Path::new("models/bedside-minilm")
}

impl Service {
    pub async fn start(overrides: &[(&str, &str)]) -> Self {
        let settings = settings(overrides);
        let mut metrics = Metrics::new();
        let loading = settings.clone();
        let runtime = tokio::runtime::Handle::current();
        let (triager, metrics) = tokio::task::spawn_blocking(move || {
            let _context = runtime.enter();
            let triager = startup::triager(&loading, startup::open(&loading).unwrap(), metrics.registry()).unwrap();
            (triager, metrics)
        })
        .await
        .unwrap();
        let deps = Deps::new(&settings, triager, metrics);
        let bind = || async { TcpListener::bind("127.0.0.1:0").await.unwrap() };
        let listeners = Listeners { grpc: bind().await, http: bind().await, ops: bind().await };
        let address = |listener: &TcpListener| listener.local_addr().unwrap();
        let (grpc, http, ops) = (address(&listeners.grpc), address(&listeners.http), address(&listeners.ops));
        let (stop, stopped) = oneshot::channel::<()>();
        let served = tokio::spawn(serve(listeners, deps, async {
            let _ = stopped.await;
        }));
        Self { grpc, http, ops, stop, served }
    }

    pub fn channel(&self) -> Channel {
        Endpoint::from_shared(format!("http://{}", self.grpc)).unwrap().connect_lazy()
    }

    pub fn triage(&self) -> TriageServiceClient<Channel> {
        TriageServiceClient::new(self.channel())
    }

    pub fn model(&self) -> ModelServiceClient<Channel> {
        ModelServiceClient::new(self.channel())
    }

    /// Asks the service to stop; the answer completes when it has.
    pub fn stop(self) -> JoinHandle<std::io::Result<()>> {
        self.stop.send(()).unwrap();
        self.served
    }
}

pub fn message(author: Author, text: &str) -> proto::Message {
    proto::Message { author: author.into(), text: text.to_owned(), sent_at: None }
}

pub fn ticket(text: &str) -> proto::Ticket {
    proto::Ticket { id: "t-1".to_owned(), messages: vec![message(Author::Customer, text)], ..Default::default() }
}

pub fn request(ticket: proto::Ticket) -> proto::TriageTicketRequest {
    proto::TriageTicketRequest { ticket: Some(ticket), options: None }
}

pub fn explained(ticket: proto::Ticket) -> proto::TriageTicketRequest {
    let options = proto::TriageOptions { explain: true, ..Default::default() };
    proto::TriageTicketRequest { ticket: Some(ticket), options: Some(options) }
}

/// Polls until `condition` holds.
///
/// # Panics
/// When it does not within a time that is far beyond what any condition here needs.
pub async fn until<F: Future<Output = bool>>(what: &str, mut condition: impl FnMut() -> F) {
    for _ in 0..600 {
        if condition().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("{what} did not come true");
}
