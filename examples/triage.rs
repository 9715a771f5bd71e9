//! Asks a running service about one ticket: with a deadline, and again when the service says that it may work later.

use std::error::Error;
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use bedside::server::proto::triage_service_client::TriageServiceClient;
use bedside::server::proto::{Author, Message, Ticket, Triage, TriageTicketRequest};
use tokio::time::{Instant, sleep};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request, Status};
use tonic_types::StatusExt;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    println!("{}", ask("http://127.0.0.1:50051").await?);
    Ok(())
}

pub(crate) async fn ask(address: &str) -> Result<String, Box<dyn Error>> {
    let service = Endpoint::from_shared(address.to_owned())?.connect_lazy();
    let text = "I was charged twice and my rent is due tomorrow. This is the third time I ask.";
    let message = Message { author: Author::Customer.into(), text: text.to_owned(), sent_at: None };
    let ticket = Ticket { id: "T-1".to_owned(), messages: vec![message], ..Ticket::default() };
    let triage = triage(&service, ticket, Duration::from_secs(5)).await?;

    let assessment = triage.assessment.unwrap_or_default();
    let (emotion, urgency) = (assessment.primary(), assessment.urgency.unwrap_or_default().level());
    let queue = triage.routing.unwrap_or_default().queue;
    let cue = triage.cues.into_iter().next().unwrap_or_default().r#do;
    Ok(format!("{} {} -> {queue}: {cue}", emotion.as_str_name(), urgency.as_str_name()))
}

/// One answer within `limit`, which is for all attempts together.
async fn triage(service: &Channel, ticket: Ticket, limit: Duration) -> Result<Triage, Status> {
    let deadline = Instant::now() + limit;
    let mut pause = Duration::from_millis(100);
    loop {
        let mut request = Request::new(TriageTicketRequest { ticket: Some(ticket.clone()), options: None });
        request.set_timeout(deadline - Instant::now());
        let status = match TriageServiceClient::new(service.clone()).triage_ticket(request).await {
            Ok(answer) => return Ok(answer.into_inner().triage.unwrap_or_default()),
            Err(status) => status,
        };
        let told = status.get_details_retry_info().and_then(|info| info.retry_delay).unwrap_or_default();
        // A random share, so that many clients do not come back at the same moment.
        let wait = told.max(pause).mul_f64(1.0 + f64::from(RandomState::new().hash_one(()) as u8) / 512.0);
        let passing = matches!(status.code(), Code::Unavailable | Code::ResourceExhausted);
        if !passing || Instant::now() + wait >= deadline {
            return Err(status);
        }
        sleep(wait).await;
        pause *= 2;
    }
}
