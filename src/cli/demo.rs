//! `bedside demo`: the whole way once, on sample tickets.

use std::{
    fs,
    io::{self, IsTerminal},
    path::PathBuf,
    time::{Duration, Instant},
};

use clap::Args;
use comfy_table::{Cell, CellAlignment, ContentArrangement, Table, presets::UTF8_FULL_CONDENSED};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{runtime::Runtime, time::sleep};
use tonic::transport::{Channel, Endpoint};
use tonic_health::pb::{HealthCheckRequest, health_check_response::ServingStatus, health_client::HealthClient};

use super::{Failure, SettingsArgs, service};
use crate::server::proto::{self, triage_service_client::TriageServiceClient};

/// Characters in a line of the table where there is no terminal to tell.
const WIDTH: u16 = 130;

/// How long to wait for the service to say SERVING after it has loaded.
const PATIENCE: Duration = Duration::from_secs(30);

#[derive(Args)]
pub(super) struct DemoArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Tickets to triage, one JSON record a line.
    #[arg(long, value_name = "FILE", default_value = "tests/data/tickets.jsonl")]
    tickets: PathBuf,
    /// Stop after the table.
    #[arg(long)]
    once: bool,
}

pub(super) fn run(args: &DemoArgs) -> Result<(), Failure> {
    let settings = args.settings.load(&[], true)?;
    let unreadable = |error| format!("{}: {error}", args.tickets.display());
    let text = fs::read_to_string(&args.tickets).map_err(unreadable)?;
    let tickets = super::classify::records(&text).map_err(|error| format!("{}:{error}", args.tickets.display()))?;
    let runtime = Runtime::new()?;
    eprintln!("loading {} ...", settings.model.bundle.display());
    let began = Instant::now();
    let service = service::Background::start(&runtime, &settings)?;
    let endpoint = Endpoint::from_shared(format!("http://{}", service.grpc_addr))?;
    // A channel works in the background of the runtime that it is made in.
    let channel = runtime.block_on(async { endpoint.connect_lazy() });
    runtime.block_on(until_serving(channel.clone()))?;
    eprintln!("gRPC health says SERVING after {:.1} s", began.elapsed().as_secs_f64());
    println!("{}", runtime.block_on(triage_all(channel, tickets))?);
    if !args.once {
        let server = &settings.server;
        eprintln!(
            "serving gRPC on {}, HTTP on {}, operations on {}",
            server.grpc_addr, server.http_addr, server.ops_addr
        );
        eprintln!("Ctrl-C stops");
        runtime.block_on(service::stop_signal());
    }
    service.stop(&runtime)
}

async fn until_serving(channel: Channel) -> Result<(), Failure> {
    let mut health = HealthClient::new(channel);
    let began = Instant::now();
    loop {
        let request = HealthCheckRequest { service: "bedside.v1.TriageService".to_owned() };
        let answer = health.check(request).await;
        if answer.is_ok_and(|answer| answer.get_ref().status() == ServingStatus::Serving) {
            return Ok(());
        }
        if began.elapsed() > PATIENCE {
            return Err("the service does not say SERVING".into());
        }
        sleep(Duration::from_millis(50)).await;
    }
}

async fn triage_all(channel: Channel, tickets: Vec<proto::Ticket>) -> Result<Table, Failure> {
    let mut client = TriageServiceClient::new(channel);
    let mut table = Table::new();
    table.load_style(UTF8_FULL_CONDENSED).set_content_arrangement(ContentArrangement::Dynamic);
    if !io::stdout().is_terminal() {
        table.set_width(WIDTH);
    }
    table.set_header(["ticket", "emotions", "urgency", "queue", "first cue", "ms"]);
    let style = ProgressStyle::with_template("{bar:40} {pos}/{len} tickets")?;
    let progress = ProgressBar::new(tickets.len() as u64).with_style(style);
    for ticket in tickets {
        let text = excerpt(ticket.messages.first().map_or("", |message| &message.text));
        let name = format!("{} {text}", ticket.id);
        let request = proto::TriageTicketRequest { ticket: Some(ticket), options: None };
        let began = Instant::now();
        let triage = client.triage_ticket(request).await?.into_inner().triage.unwrap_or_default();
        let elapsed = began.elapsed();
        table.add_row(row(name, &triage, elapsed));
        progress.inc(1);
    }
    progress.finish_and_clear();
    Ok(table)
}

fn row(name: String, triage: &proto::Triage, elapsed: Duration) -> Vec<Cell> {
    let assessment = triage.assessment.clone().unwrap_or_default();
    let emotions = assessment.emotions.iter().map(|found| label(found.emotion().as_str_name(), "EMOTION_"));
    let emotions = format!("{} ({})", emotions.collect::<Vec<_>>().join(", "), assessment.intensity);
    let urgency = assessment.urgency.unwrap_or_default();
    let queue = triage.routing.as_ref().map_or("", |routing| &routing.queue);
    let cue = triage.cues.first().map_or("", |cue| &cue.r#do);
    vec![
        Cell::new(name),
        Cell::new(emotions),
        Cell::new(label(urgency.level().as_str_name(), "URGENCY_")),
        Cell::new(queue),
        Cell::new(cue),
        Cell::new(format!("{:.0}", elapsed.as_secs_f64() * 1e3)).set_alignment(CellAlignment::Right),
    ]
}

/// An enum value's name without the prefix of its enum, in small letters.
fn label(name: &str, prefix: &str) -> String {
    name.trim_start_matches(prefix).to_lowercase()
}

/// The first words of a text, to tell tickets apart.
fn excerpt(text: &str) -> String {
    const WIDTH: usize = 48;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}
