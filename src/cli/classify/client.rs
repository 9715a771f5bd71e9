//! The gRPC side: chunks of tickets out, one outcome each back.

use std::{slice, time::Duration};

use prost::Message;
use tokio::time::sleep;
use tonic::{Code, Status, transport::Channel};
use tonic_types::RpcStatusExt;

use crate::{
    cli::Failure,
    server::proto::{
        self, batch_triage_tickets_result::Outcome, model_service_client::ModelServiceClient,
        triage_service_client::TriageServiceClient,
    },
};

/// How often a ticket that found no room is sent.
const ATTEMPTS: u32 = 8;

/// How long to wait before the second attempt when the service does not say.
const PAUSE: Duration = Duration::from_millis(500);

/// The longest wait before another attempt.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);

/// Bytes that a ticket takes in a request beside its own, at most: tags and lengths.
const FRAMING: usize = 32;

/// What the service says about one ticket.
pub(super) type Answer = Result<proto::Triage, tonic_types::Status>;

pub(super) struct Client {
    service: TriageServiceClient<Channel>,
    max_items: usize,
    max_bytes: usize,
}

impl Client {
    /// Asks the service for its limits, and so finds out whether it is there.
    pub(super) async fn connect(channel: Channel) -> Result<Self, Failure> {
        let answer = ModelServiceClient::new(channel.clone()).get_model(proto::GetModelRequest {}).await;
        let limits = answer.map_err(|status| no_answer(&status))?.into_inner().limits.unwrap_or_default();
        let limit = |number: i32| usize::try_from(number).unwrap_or(0);
        Ok(Self {
            service: TriageServiceClient::new(channel),
            max_items: limit(limits.max_batch_items),
            max_bytes: limit(limits.max_request_bytes),
        })
    }

    /// One answer for each ticket, in order.
    ///
    /// # Errors
    /// When the service cannot be asked at all. What is wrong with a ticket is its answer.
    pub(super) async fn triage(&self, tickets: &[proto::Ticket]) -> Result<Vec<Answer>, Failure> {
        let mut answers = Vec::with_capacity(tickets.len());
        let mut rest = tickets;
        while !rest.is_empty() {
            let (now, later) = rest.split_at(self.fitting(rest));
            answers.extend(self.send(now).await?);
            rest = later;
        }
        // What found no room or no time among the others is sent again, alone.
        for (ticket, answer) in tickets.iter().zip(&mut answers) {
            for attempt in 1..ATTEMPTS {
                let Some(pause) = answer.as_ref().err().and_then(|status| pause(status, attempt)) else {
                    break;
                };
                sleep(pause).await;
                if let Some(again) = self.send(slice::from_ref(ticket)).await?.pop() {
                    *answer = again;
                }
            }
        }
        Ok(answers)
    }

    /// How many of the first tickets fit one request; at least one, be it too large.
    fn fitting(&self, tickets: &[proto::Ticket]) -> usize {
        let mut bytes = 0;
        let fitting = tickets.iter().take(self.max_items).take_while(|ticket| {
            bytes += ticket.encoded_len() + FRAMING;
            bytes <= self.max_bytes
        });
        fitting.count().max(1)
    }

    async fn send(&self, tickets: &[proto::Ticket]) -> Result<Vec<Answer>, Failure> {
        let requests =
            tickets.iter().map(|ticket| proto::TriageTicketRequest { ticket: Some(ticket.clone()), options: None });
        let request = proto::BatchTriageTicketsRequest { requests: requests.collect() };
        let results = match self.service.clone().batch_triage_tickets(request).await {
            Ok(answer) => answer.into_inner().results,
            // The chunk as a whole was refused, and with it each of its tickets.
            Err(status) if concerns_tickets(status.code()) => {
                return Ok(tickets.iter().map(|_| Err(item(&status))).collect());
            }
            Err(status) => return Err(no_answer(&status)),
        };
        if results.len() != tickets.len() {
            return Err(format!("the service answered {} of {} tickets", results.len(), tickets.len()).into());
        }
        let answers = results.into_iter().map(|result| match result.outcome {
            Some(Outcome::Triage(triage)) => Ok(triage),
            Some(Outcome::Error(status)) => Err(status),
            None => Err(item(&Status::internal("the service left the ticket out"))),
        });
        Ok(answers.collect())
    }
}

/// Whether a refused call says something about the tickets in it, rather than about the service.
fn concerns_tickets(code: Code) -> bool {
    use Code::{DeadlineExceeded, Internal, InvalidArgument, OutOfRange, ResourceExhausted};
    matches!(code, InvalidArgument | OutOfRange | ResourceExhausted | DeadlineExceeded | Internal)
}

/// How long to wait until the ticket has a better chance; `None` when it has none.
fn pause(status: &tonic_types::Status, attempt: u32) -> Option<Duration> {
    match Code::from(status.code) {
        Code::ResourceExhausted => {
            let hint = status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or(PAUSE);
            Some((hint * 2_u32.pow(attempt - 1)).min(LONGEST_PAUSE))
        }
        // Alone it has all the time there is; a second time that would not help.
        Code::DeadlineExceeded if attempt == 1 => Some(Duration::ZERO),
        _ => None,
    }
}

/// The status of a call as that of a ticket in it.
fn item(status: &Status) -> tonic_types::Status {
    let details = tonic_types::Status::decode(status.details()).map(|status| status.details).unwrap_or_default();
    tonic_types::Status { code: status.code().into(), message: status.message().to_owned(), details }
}

fn no_answer(status: &Status) -> Failure {
    format!("the service does not answer: {:?}: {}", status.code(), status.message()).into()
}
