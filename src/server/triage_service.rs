//! `TriageService`: validate, admit, triage, answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, stream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tonic::{Code, Request, Response, Status};

use super::{Deps, deadline::Deadline, error, proto, validate, wire};
use crate::{
    model::scheduler::Lane,
    telemetry::{Metrics, Rpc},
};

/// Items of one batch that are worked on at the same time, so that a batch leaves room in the queue for others.
const BATCH_CONCURRENCY: usize = 16;

/// How long before a batch's deadline its items are given up, so that those that are done can be sent.
const BATCH_HEAD_START: Duration = Duration::from_millis(10);

pub(super) struct TriageApi {
    deps: Arc<Deps>,
    admission: Arc<Semaphore>,
    stopping: CancellationToken,
}

impl TriageApi {
    pub(super) fn new(deps: Arc<Deps>, stopping: CancellationToken) -> Self {
        // One for all connections: tonic's own limits count for each connection by itself.
        let admission = Arc::new(Semaphore::new(deps.server.max_in_flight));
        Self { deps, admission, stopping }
    }

    fn admit(&self) -> Result<OwnedSemaphorePermit, Status> {
        if self.stopping.is_cancelled() {
            return Err(error::stopping());
        }
        self.admission.clone().try_acquire_owned().map_err(|_| error::too_many_in_flight())
    }

    async fn triage(
        &self,
        sent: proto::TriageTicketRequest,
        lane: Lane,
        deadline: Instant,
    ) -> Result<proto::Triage, Status> {
        let (ticket, options) = validate::request(sent, lane, &self.deps.limits)?;
        let ticket = Arc::new(ticket);
        let found = self.deps.triager.triage(ticket.clone(), options, deadline).await?;
        self.deps.metrics.triaged(&found);
        Ok(wire::triage(ticket.id.clone(), found, &self.deps.triager))
    }

    fn begin<T>(&self, rpc: Rpc, request: &Request<T>) -> Call {
        let began = Instant::now();
        let set = request.extensions().get::<Deadline>().map(|deadline| deadline.0);
        let deadline = set.unwrap_or_else(|| began + self.deps.server.max_deadline());
        self.deps.metrics.calls_in_flight.inc();
        Call { metrics: self.deps.metrics.clone(), rpc, began, deadline, code: None }
    }
}

/// A call that is being worked on; counted and logged when it ends, also when its handler is dropped before it is done.
struct Call {
    metrics: Arc<Metrics>,
    rpc: Rpc,
    began: Instant,
    deadline: Instant,
    code: Option<Code>,
}

impl Call {
    fn end<T>(mut self, outcome: Result<T, Status>) -> Result<Response<T>, Status> {
        self.code = Some(outcome.as_ref().err().map_or(Code::Ok, Status::code));
        outcome.map(Response::new)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let late = Instant::now() >= self.deadline;
        let code = self.code.unwrap_or(if late { Code::DeadlineExceeded } else { Code::Cancelled });
        let elapsed = self.began.elapsed();
        self.metrics.calls_in_flight.dec();
        self.metrics.answered(self.rpc, code, elapsed);
        tracing::info!(rpc = self.rpc.name(), ?code, elapsed_ms = elapsed.as_secs_f64() * 1e3, "answered");
    }
}

#[tonic::async_trait]
impl proto::triage_service_server::TriageService for TriageApi {
    async fn triage_ticket(
        &self,
        request: Request<proto::TriageTicketRequest>,
    ) -> Result<Response<proto::TriageTicketResponse>, Status> {
        let call = self.begin(Rpc::TriageTicket, &request);
        let outcome = async {
            let _permit = self.admit()?;
            let triage = self.triage(request.into_inner(), Lane::Interactive, call.deadline).await?;
            Ok(proto::TriageTicketResponse { triage: Some(triage) })
        }
        .await;
        call.end(outcome)
    }

    async fn batch_triage_tickets(
        &self,
        request: Request<proto::BatchTriageTicketsRequest>,
    ) -> Result<Response<proto::BatchTriageTicketsResponse>, Status> {
        use proto::batch_triage_tickets_result::Outcome;
        let call = self.begin(Rpc::BatchTriageTickets, &request);
        let requests = request.into_inner().requests;
        let outcome = async {
            validate::batch(requests.len(), &self.deps.limits)?;
            let _permit = self.admit()?;
            let deadline = call.deadline.checked_sub(BATCH_HEAD_START).unwrap_or(call.deadline);
            let items = requests.into_iter().map(|request| self.triage(request, Lane::Bulk, deadline));
            let results = stream::iter(items).buffered(BATCH_CONCURRENCY).map(|result| {
                let outcome = result.map_or_else(|status| Outcome::Error(error::item(&status)), Outcome::Triage);
                proto::BatchTriageTicketsResult { outcome: Some(outcome) }
            });
            Ok(proto::BatchTriageTicketsResponse { results: results.collect().await })
        }
        .await;
        call.end(outcome)
    }
}
