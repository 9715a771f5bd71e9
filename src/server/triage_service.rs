//! `TriageService`: validate, admit, triage, answer.

use std::{sync::Arc, time::Instant};

use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tonic::{Request, Response, Status};

use super::{Deps, deadline::Deadline, error, proto, validate, wire};
use crate::telemetry::Rpc;

/// Items of one batch that are worked on at the same time, so that a batch leaves room in the queue for others.
const BATCH_CONCURRENCY: usize = 16;

pub(super) struct TriageApi {
    deps: Arc<Deps>,
    admission: Arc<Semaphore>,
}

impl TriageApi {
    pub(super) fn new(deps: Arc<Deps>, admission: Arc<Semaphore>) -> Self {
        Self { deps, admission }
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        self.admission.clone().try_acquire_owned().map_err(|_| error::too_many_in_flight())
    }

    async fn triage(&self, sent: proto::TriageTicketRequest, deadline: Instant) -> Result<proto::Triage, Status> {
        let (ticket, options) = validate::request(sent, &self.deps.limits)?;
        let ticket = Arc::new(ticket);
        let found = self.deps.triager.triage(ticket.clone(), options, deadline).await?;
        self.deps.metrics.triaged(&found);
        Ok(wire::triage(ticket.id.clone(), found, &self.deps.triager))
    }

    /// Counts and logs the outcome of a call.
    fn record<T>(&self, rpc: Rpc, began: Instant, outcome: &Result<T, Status>) {
        let code = outcome.as_ref().err().map_or(tonic::Code::Ok, Status::code);
        let elapsed = began.elapsed();
        self.deps.metrics.answered(rpc, code, elapsed);
        tracing::info!(rpc = rpc.name(), ?code, elapsed_ms = elapsed.as_secs_f64() * 1e3, "answered");
    }

    fn deadline<T>(&self, request: &Request<T>) -> Instant {
        let set = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
        set.unwrap_or_else(|| Instant::now() + self.deps.server.max_deadline())
    }
}

#[tonic::async_trait]
impl proto::triage_service_server::TriageService for TriageApi {
    async fn triage_ticket(
        &self,
        request: Request<proto::TriageTicketRequest>,
    ) -> Result<Response<proto::TriageTicketResponse>, Status> {
        let began = Instant::now();
        let deadline = self.deadline(&request);
        let outcome = async {
            let _permit = self.admit()?;
            self.triage(request.into_inner(), deadline).await
        }
        .await;
        self.record(Rpc::TriageTicket, began, &outcome);
        outcome.map(|triage| Response::new(proto::TriageTicketResponse { triage: Some(triage) }))
    }

    async fn batch_triage_tickets(
        &self,
        request: Request<proto::BatchTriageTicketsRequest>,
    ) -> Result<Response<proto::BatchTriageTicketsResponse>, Status> {
        use proto::batch_triage_tickets_result::Outcome;
        let began = Instant::now();
        let deadline = self.deadline(&request);
        let requests = request.into_inner().requests;
        let outcome = async {
            validate::batch(requests.len(), &self.deps.limits)?;
            let _permit = self.admit()?;
            let items = requests.into_iter().map(|request| self.triage(request, deadline));
            let results = stream::iter(items).buffered(BATCH_CONCURRENCY).map(|result| {
                let outcome = result.map_or_else(|status| Outcome::Error(error::item(&status)), Outcome::Triage);
                proto::BatchTriageTicketsResult { outcome: Some(outcome) }
            });
            Ok(proto::BatchTriageTicketsResponse { results: results.collect().await })
        }
        .await;
        self.record(Rpc::BatchTriageTickets, began, &outcome);
        outcome.map(Response::new)
    }
}
