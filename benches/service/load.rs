//! The load generator: a process of its own that sends tickets and says how it went, as JSON on standard output.
//!
//! Open loop: tickets leave at random times of a fixed mean rate, whether or not earlier ones were answered, and latency
//! counts from the time a ticket was due, so that a server that stalls cannot hide it. Closed loop: so many callers, each
//! waiting for its answer before it sends again.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bedside::server::proto::{self, triage_service_client::TriageServiceClient};
use clap::Args;
use hdrhistogram::Histogram;
use serde::{Deserialize, Serialize};
use tokio::{sync::mpsc, time::sleep_until};
use tonic::{Code, transport::Endpoint};

use crate::{
    peers::Protocol,
    texts::{corpus, distinct, plain},
};

#[derive(Args, Clone)]
pub(crate) struct Load {
    /// Port on loopback.
    #[arg(long)]
    pub(crate) port: u16,
    /// What the server speaks, as JSON of a peer's description; bedside's contract if not given.
    #[arg(long)]
    pub(crate) protocol: Option<String>,
    /// Tickets a second; without it, closed loop.
    #[arg(long)]
    pub(crate) rate: Option<f64>,
    /// Callers of the closed loop.
    #[arg(long, default_value_t = 16)]
    pub(crate) concurrency: usize,
    /// For so long.
    #[arg(long, default_value_t = 10.0)]
    pub(crate) seconds: f64,
    /// Share of tickets that were sent before.
    #[arg(long, default_value_t = 0.0)]
    pub(crate) repeats: f64,
    /// Number of the first ticket; runs against one server begin where others have not been.
    #[arg(long, default_value_t = 0)]
    pub(crate) first: usize,
    /// Send batches of so many tickets instead of single ones.
    #[arg(long)]
    pub(crate) batch: Option<usize>,
}

/// What came of it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Outcome {
    pub(crate) seconds: f64,
    pub(crate) answered: u64,
    pub(crate) refused: u64,
    pub(crate) failed: u64,
    /// Milliseconds from when it was due to its answer.
    pub(crate) latency: Percentiles,
    /// Milliseconds to a refusal.
    pub(crate) refusal: Percentiles,
}

impl Outcome {
    /// Answers a second.
    pub(crate) fn goodput(&self) -> f64 {
        self.answered as f64 / self.seconds
    }
}

#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct Percentiles {
    pub(crate) p50: f64,
    pub(crate) p99: f64,
    pub(crate) p999: f64,
    pub(crate) max: f64,
}

/// Tickets in flight at once at most; beyond that, the generator itself would be what is measured.
const IN_FLIGHT: usize = 4_096;

enum Answer {
    Good(u64),
    Refused,
    Failed,
}

#[derive(Clone)]
enum Client {
    Grpc(TriageServiceClient<tonic::transport::Channel>),
    Http { client: reqwest::Client, url: String, body: String },
}

pub(crate) fn run(load: Load) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let outcome = runtime.block_on(send(load));
    println!("{}", serde_json::to_string(&outcome).unwrap());
}

async fn send(load: Load) -> Outcome {
    let protocol: Protocol =
        load.protocol.as_deref().map_or(Protocol::Bedside, |given| serde_json::from_str(given).unwrap());
    let client = client(&protocol, load.port);
    let corpus = Arc::new(corpus());
    let (answers, mut received) = mpsc::unbounded_channel::<(Answer, Duration)>();
    let began = Instant::now();
    let ends = began + Duration::from_secs_f64(load.seconds);
    let number = Arc::new(AtomicUsize::new(load.first));
    match load.rate {
        Some(rate) => {
            let in_flight = Arc::new(tokio::sync::Semaphore::new(IN_FLIGHT));
            let mut random = fastrand::Rng::with_seed(load.first as u64);
            let mut due = began;
            while due < ends {
                sleep_until(due.into()).await;
                let ticket = next(&corpus, &number, &load, &mut random);
                let (client, answers, since) = (client.clone(), answers.clone(), due);
                let permit = in_flight.clone().acquire_owned().await.unwrap();
                tokio::spawn(async move {
                    let answer = call(client, vec![ticket], false).await;
                    let _ = answers.send((answer, since.elapsed()));
                    drop(permit);
                });
                due += Duration::from_secs_f64(-random.f64().max(1e-12).ln() / rate);
            }
        }
        None => {
            for caller in 0..load.concurrency {
                let (client, answers, load) = (client.clone(), answers.clone(), load.clone());
                let (corpus, number) = (corpus.clone(), number.clone());
                tokio::spawn(async move {
                    let mut random = fastrand::Rng::with_seed((load.first + caller) as u64);
                    while Instant::now() < ends {
                        let size = load.batch.unwrap_or(1);
                        let tickets = (0..size).map(|_| next(&corpus, &number, &load, &mut random)).collect();
                        let sent = Instant::now();
                        let answer = call(client.clone(), tickets, load.batch.is_some()).await;
                        let _ = answers.send((answer, sent.elapsed()));
                    }
                });
            }
        }
    }
    drop(answers);
    let mut latency = Histogram::<u64>::new(3).unwrap();
    let mut refusal = latency.clone();
    let (mut answered, mut refused, mut failed) = (0, 0, 0);
    while let Some((answer, took)) = received.recv().await {
        let micros = u64::try_from(took.as_micros()).unwrap();
        match answer {
            Answer::Good(tickets) => {
                answered += tickets;
                latency.record(micros).unwrap();
            }
            Answer::Refused => {
                refused += 1;
                refusal.record(micros).unwrap();
            }
            Answer::Failed => failed += 1,
        }
    }
    let seconds = began.elapsed().as_secs_f64();
    Outcome { seconds, answered, refused, failed, latency: percentiles(&latency), refusal: percentiles(&refusal) }
}

fn client(protocol: &Protocol, port: u16) -> Client {
    match protocol {
        Protocol::Bedside => {
            let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).unwrap().tcp_nodelay(true);
            Client::Grpc(TriageServiceClient::new(endpoint.connect_lazy()))
        }
        Protocol::Http { path, body } => Client::Http {
            client: reqwest::Client::new(),
            url: format!("http://127.0.0.1:{port}{path}"),
            body: body.clone(),
        },
    }
}

/// A ticket that was sent before, or one that was not.
fn next(corpus: &[proto::Ticket], number: &AtomicUsize, load: &Load, random: &mut fastrand::Rng) -> proto::Ticket {
    if random.f64() < load.repeats {
        let upto = number.load(Ordering::Relaxed).max(load.first + 1);
        // The latest ones, as an inbox has them.
        return distinct(corpus, random.usize(upto.saturating_sub(1_000).max(load.first)..upto));
    }
    distinct(corpus, number.fetch_add(1, Ordering::Relaxed))
}

async fn call(client: Client, mut tickets: Vec<proto::Ticket>, batch: bool) -> Answer {
    match client {
        Client::Grpc(mut client) if batch => {
            let count = tickets.len() as u64;
            let requests = tickets.into_iter().map(request).collect();
            answer(client.batch_triage_tickets(proto::BatchTriageTicketsRequest { requests }).await.map(drop), count)
        }
        Client::Grpc(mut client) => {
            let ticket = tickets.swap_remove(0);
            answer(client.triage_ticket(request(ticket)).await.map(drop), 1)
        }
        Client::Http { client, url, body } => {
            let text = serde_json::to_string(&plain(&tickets[0])).unwrap();
            let sent = client.post(url).header("content-type", "application/json").body(body.replace("{text}", &text));
            match sent.send().await {
                Ok(response) if response.status().is_success() => match response.bytes().await {
                    Ok(_) => Answer::Good(1),
                    Err(_) => Answer::Failed,
                },
                _ => Answer::Failed,
            }
        }
    }
}

fn request(ticket: proto::Ticket) -> proto::TriageTicketRequest {
    proto::TriageTicketRequest { ticket: Some(ticket), options: None }
}

fn answer(outcome: Result<(), tonic::Status>, tickets: u64) -> Answer {
    match outcome {
        Ok(()) => Answer::Good(tickets),
        Err(status) if status.code() == Code::ResourceExhausted => Answer::Refused,
        Err(_) => Answer::Failed,
    }
}

fn percentiles(histogram: &Histogram<u64>) -> Percentiles {
    let at = |quantile: f64| histogram.value_at_quantile(quantile) as f64 / 1e3;
    Percentiles { p50: at(0.5), p99: at(0.99), p999: at(0.999), max: at(1.0) }
}
