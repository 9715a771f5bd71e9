//! `bedside classify`: tickets from a file or a pipe to answers, one a line.

use std::{
    fs::File,
    io::{self, BufReader, IsTerminal, Read},
    net::SocketAddr,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use clap::Args;
use futures::{StreamExt, stream};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::{runtime::Runtime, sync::mpsc};
use tonic::transport::Endpoint;

use super::{Failure, SettingsArgs, service};

mod answer;
mod client;
mod input;
mod output;
pub(super) mod record;

use client::Client;
pub(super) use input::records;
use output::{Row, Sink};

/// Tickets sent in one call.
const CHUNK: usize = 32;

/// Calls under way at the same time, so that the service need not wait for this side between two chunks.
const CALLS: usize = 2;

/// After so long the input counts as long and gets a progress bar.
const LONG: Duration = Duration::from_secs(1);

#[derive(Args)]
pub(super) struct ClassifyArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Tickets to triage; - reads standard input. Tickets without an id go by the number of their line.
    #[arg(value_name = "FILE", default_value = "-")]
    file: PathBuf,
    /// Format of the input [default: by the file's extension, else by its first line].
    #[arg(long, value_name = "FORMAT")]
    input: Option<input::Format>,
    /// Format of the output [default: table on a terminal, else jsonl].
    #[arg(long, value_name = "FORMAT")]
    format: Option<output::Format>,
    /// Ask the running service at this address, such as http://127.0.0.1:50051, instead of loading the model here.
    #[arg(long, value_name = "URL")]
    addr: Option<String>,
}

/// How it went.
#[derive(Default)]
struct Tally {
    tickets: u64,
    failed: u64,
    /// Whoever read the answers has gone.
    reader_gone: bool,
}

pub(super) fn run(args: &ClassifyArgs) -> Result<(), Failure> {
    let (source, length) = open(&args.file)?;
    let runtime = Runtime::new()?;
    let (endpoint, service) = match &args.addr {
        Some(addr) => (endpoint(addr)?, None),
        None => {
            let any_port = Some(SocketAddr::from(([127, 0, 0, 1], 0)).to_string());
            let addresses = ["server.grpc_addr", "server.http_addr", "server.ops_addr"].map(|name| (name, &any_port));
            let settings = args.settings.load(&addresses, true)?;
            let service = service::Background::start(&runtime, &settings)?;
            (endpoint(&service.grpc_addr.to_string())?, Some(service))
        }
    };
    let interactive = is_stdin(&args.file) && io::stdin().is_terminal();
    if interactive {
        eprintln!("reading tickets from the terminal; Ctrl-D ends");
    }
    let progress = progress(length)?;
    let reader = BufReader::new(progress.wrap_read(source));
    let format = args.input.or_else(|| input::Format::of(&args.file));
    let (sender, receiver) = mpsc::channel(2 * CHUNK);
    // A thread of its own and not one of the runtime's: a read from a terminal or a pipe cannot be cancelled, and must
    // not keep the process from ending.
    thread::spawn(move || read(reader, format, &sender));

    let format = args.format.unwrap_or_else(output::Format::of_stdout);
    let mut sink = Sink::new(io::stdout().lock(), format);
    let tally = runtime.block_on(classify(endpoint, receiver, &mut sink, (!interactive).then_some(&progress)));
    progress.finish_and_clear();
    let tally = tally?;
    if let Some(service) = service {
        service.stop(&runtime)?;
    }
    match tally {
        Tally { failed, tickets, reader_gone: false } if failed > 0 => {
            Err(format!("{failed} of {tickets} tickets failed; the output says why").into())
        }
        _ => Ok(()),
    }
}

async fn classify(
    endpoint: Endpoint,
    entries: mpsc::Receiver<io::Result<input::Entry>>,
    sink: &mut Sink<io::StdoutLock<'_>>,
    progress: Option<&ProgressBar>,
) -> Result<Tally, Failure> {
    let began = Instant::now();
    let client = Client::connect(endpoint.connect_lazy()).await?;
    // Takes what is there, so that a slow pipe is answered promptly and a fast one in full chunks.
    let chunks = stream::unfold(entries, |mut entries| async move {
        let mut chunk = Vec::with_capacity(CHUNK);
        (entries.recv_many(&mut chunk, CHUNK).await > 0).then_some((chunk, entries))
    });
    let answers = chunks.map(|chunk| answer(&client, chunk)).buffered(CALLS);
    tokio::pin!(answers);
    let mut tally = Tally::default();
    while let Some(answered) = answers.next().await {
        let (rows, interrupted) = answered?;
        tally.tickets += rows.len() as u64;
        tally.failed += rows.iter().filter(|row| row.failed()).count() as u64;
        let written = match progress {
            Some(progress) => progress.suspend(|| sink.write(&rows)),
            None => sink.write(&rows),
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                tally.reader_gone = true;
                break;
            }
            written => written?,
        }
        if let Some(error) = interrupted {
            return Err(format!("the input cannot be read: {error}").into());
        }
        if let Some(progress) = progress {
            progress.set_message(format!("{} tickets", tally.tickets));
            if progress.is_hidden() && began.elapsed() > LONG {
                progress.set_draw_target(ProgressDrawTarget::stderr());
            }
        }
    }
    Ok(tally)
}

/// The output of one chunk, and the error that ended the input within it.
async fn answer(
    client: &Client,
    chunk: Vec<io::Result<input::Entry>>,
) -> Result<(Vec<Row>, Option<io::Error>), Failure> {
    let mut rows = Vec::with_capacity(chunk.len());
    let mut interrupted = None;
    let mut tickets = Vec::with_capacity(chunk.len());
    for entry in chunk {
        match entry {
            Ok(Ok(ticket)) => {
                // Its place in the output; filled below.
                rows.push(None);
                tickets.push(ticket);
            }
            Ok(Err(error)) => rows.push(Some(Row::malformed(error))),
            Err(error) => {
                interrupted = Some(error);
                break;
            }
        }
    }
    let answers = client.triage(&tickets).await?;
    let mut answered = tickets.iter().zip(answers).map(|(ticket, answer)| Row::new(ticket, answer));
    let rows = rows.into_iter().filter_map(|row| row.or_else(|| answered.next()));
    Ok((rows.collect(), interrupted))
}

/// Sends every record of the input on its way. Ends when the input does, or when nobody listens any more.
fn read(
    reader: impl io::BufRead + 'static,
    format: Option<input::Format>,
    sender: &mpsc::Sender<io::Result<input::Entry>>,
) {
    match input::entries(reader, format) {
        Ok(entries) => {
            for entry in entries {
                let last = entry.is_err();
                if sender.blocking_send(entry).is_err() || last {
                    return;
                }
            }
        }
        Err(error) => {
            // Nobody listens any more: then nobody needs to know.
            let _ = sender.blocking_send(Err(error));
        }
    }
}

/// The input and, for a file, its length in bytes.
fn open(file: &Path) -> Result<(Box<dyn Read + Send>, Option<u64>), Failure> {
    if is_stdin(file) {
        return Ok((Box::new(io::stdin()), None));
    }
    let unreadable = |error| format!("{}: {error}", file.display());
    let opened = File::open(file).map_err(unreadable)?;
    let metadata = opened.metadata().map_err(unreadable)?;
    if metadata.is_dir() {
        return Err(format!("{}: is a folder", file.display()).into());
    }
    Ok((Box::new(opened), metadata.is_file().then_some(metadata.len())))
}

fn is_stdin(file: &Path) -> bool {
    file.as_os_str() == "-"
}

fn endpoint(addr: &str) -> Result<Endpoint, Failure> {
    let url = if addr.contains("://") { addr.to_owned() } else { format!("http://{addr}") };
    let endpoint = Endpoint::from_shared(url).map_err(|error| format!("--addr {addr}: {error}"))?;
    Ok(endpoint.connect_timeout(Duration::from_secs(10)))
}

/// Hidden at first; by bytes where the length is known.
fn progress(length: Option<u64>) -> Result<ProgressBar, Failure> {
    let template = match length {
        Some(_) => "{bar:40} {bytes}/{total_bytes} {msg} {eta}",
        None => "{spinner} {msg} {elapsed}",
    };
    let progress = ProgressBar::with_draw_target(length, ProgressDrawTarget::hidden());
    Ok(progress.with_style(ProgressStyle::with_template(template)?))
}
