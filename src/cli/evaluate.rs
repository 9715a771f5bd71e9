//! `bedside evaluate`: labelled tickets through the serving path, and how good the answers are.

use std::{
    collections::HashSet,
    io::{self, IsTerminal, Write},
    path::PathBuf,
    sync::Arc,
    time::{Duration, Instant},
};

use clap::{Args, ValueEnum};
use futures::{StreamExt, TryStreamExt, stream};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{runtime::Runtime, time::sleep};

use super::{Failure, SettingsArgs};
use crate::{
    evaluation::{MultiLabelScores, Pair, TicketScores},
    model::{ScoreError, scheduler::Lane},
    startup,
    telemetry::Metrics,
    ticket::Ticket,
    triage::{Options, Triage, TriageError, Triager},
};

mod gold;
mod report;

use gold::{Comment, GoldTicket};
use report::{GoEmotions, Report, Selected};

/// Tickets under way at the same time: enough to keep the workers busy.
const CONCURRENCY: usize = 32;

/// The longest time for one ticket. Generous: nobody waits for the answer.
const PATIENCE: Duration = Duration::from_secs(600);

#[derive(Args)]
pub(super) struct EvaluateArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Labelled tickets, one JSON record a line; all files count together.
    #[arg(long, value_name = "FILE", num_args = 1.., required_unless_present = "goemotions")]
    data: Vec<PathBuf>,
    /// GoEmotions comments: text, comma-separated label numbers and id, separated by tabs.
    #[arg(long, value_name = "TSV")]
    goemotions: Option<PathBuf>,
    /// Take only the tickets that this file lists for --part and --set.
    #[arg(long, value_name = "FILE", requires = "part", requires = "data")]
    split: Option<PathBuf>,
    /// The part of the split.
    #[arg(long, requires = "split")]
    part: Option<gold::Part>,
    /// The set of the split.
    #[arg(long, requires = "split", default_value = "authored")]
    set: gold::Set,
    /// Format of the output [default: table on a terminal, else json].
    #[arg(long)]
    format: Option<Format>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Format {
    /// One JSON object.
    Json,
    /// For people.
    Table,
}

pub(super) fn run(args: &EvaluateArgs) -> Result<(), Failure> {
    let settings = args.settings.load(&[], true)?;
    // Before the model is loaded, so that a bad record is known at once.
    let mut tickets = gold::tickets(&args.data)?;
    let selected = match (&args.split, args.part) {
        (Some(file), Some(part)) => Some(select(&mut tickets, &gold::listed(file, args.set, part)?)),
        _ => None,
    };
    let runtime = Runtime::new()?;
    let mut metrics = Metrics::new();
    let triager = {
        // Redis connections belong to the runtime that they are made in.
        let _context = runtime.enter();
        startup::triager(&settings, startup::open(&settings)?, metrics.registry())?
    };
    let triager = Arc::new(triager);
    let comments = match &args.goemotions {
        Some(file) => Some(gold::comments(file, goemotions_labels(&triager)?.len())?),
        None => None,
    };

    let progress = ProgressBar::new((tickets.len() + comments.as_ref().map_or(0, Vec::len)) as u64);
    let progress = progress.with_style(ProgressStyle::with_template("{bar:40} {pos}/{len} {eta}")?);
    let began = Instant::now();
    let n = tickets.len();
    let pairs = runtime.block_on(pairs(&triager, tickets, &progress))?;
    let goemotions = match comments {
        Some(comments) => Some(runtime.block_on(goemotions(&triager, comments, &progress))?),
        None => None,
    };
    progress.finish_and_clear();
    let report = Report {
        n,
        selected,
        tickets: (n > 0).then(|| TicketScores::of(&pairs)),
        goemotions,
        seconds: began.elapsed().as_secs_f64(),
        engine: triager.selection.engine.to_string(),
        precision: triager.selection.precision.to_string(),
        bundle: format!("{}@{}", triager.bundle.name, triager.bundle.version),
    };
    let format = args.format.unwrap_or(if io::stdout().is_terminal() { Format::Table } else { Format::Json });
    let text = match format {
        Format::Json => serde_json::to_string_pretty(&report)?,
        Format::Table => report.to_string(),
    };
    match writeln!(io::stdout(), "{text}") {
        // Whoever read the report has gone.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

/// Drops the tickets that are not listed.
fn select(tickets: &mut Vec<GoldTicket>, listed: &HashSet<String>) -> Selected {
    let all = tickets.len();
    tickets.retain(|ticket| listed.contains(&ticket.ticket.id));
    let found: HashSet<&str> = tickets.iter().map(|ticket| ticket.ticket.id.as_str()).collect();
    Selected { skipped: all - tickets.len(), missing: listed.len() - found.len() }
}

fn goemotions_labels(triager: &Triager) -> Result<&[String], Failure> {
    let group = triager.bundle.group("goemotions");
    group.map(|(group, _)| group.labels.as_slice()).ok_or_else(|| "the bundle has no goemotions labels".into())
}

async fn pairs(triager: &Arc<Triager>, tickets: Vec<GoldTicket>, progress: &ProgressBar) -> Result<Vec<Pair>, Failure> {
    let answers = stream::iter(tickets).map(|gold| async move {
        let triage = answer(triager, gold.ticket).await?;
        progress.inc(1);
        Ok::<_, Failure>(Pair::new(gold.labels, &triage.assessment))
    });
    answers.buffered(CONCURRENCY).try_collect().await
}

async fn goemotions(
    triager: &Arc<Triager>,
    comments: Vec<Comment>,
    progress: &ProgressBar,
) -> Result<GoEmotions, Failure> {
    let n = comments.len();
    let answers = stream::iter(comments).map(|comment| async move {
        let triage = answer(triager, comment.ticket).await?;
        progress.inc(1);
        let predicted = triage.goemotions.ok_or("the bundle has no goemotions labels")?;
        Ok::<_, Failure>((comment.labels, predicted))
    });
    let pairs: Vec<_> = answers.buffered(CONCURRENCY).try_collect().await?;
    let names: Vec<&str> = goemotions_labels(triager)?.iter().map(String::as_str).collect();
    Ok(GoEmotions { n, scores: MultiLabelScores::of(&names, pairs.into_iter()) })
}

/// Triages one ticket, waiting for room in the queue where there is none.
async fn answer(triager: &Arc<Triager>, ticket: Ticket) -> Result<Triage, Failure> {
    let ticket = Arc::new(ticket);
    let options = Options { explain: false, max_cues: 1, bypass_cache: true, lane: Lane::Bulk };
    let deadline = Instant::now() + PATIENCE;
    loop {
        match triager.triage(ticket.clone(), options, deadline).await {
            Err(TriageError::Score(ScoreError::Overloaded { retry_after })) if Instant::now() < deadline => {
                sleep(retry_after).await;
            }
            done => return done.map_err(|error| format!("ticket {}: {error}", ticket.id).into()),
        }
    }
}
