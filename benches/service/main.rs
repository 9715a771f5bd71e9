//! `make bench`: the service under load, beside its own engine and beside what else could serve the same model.
//!
//! Everything runs on this machine in one go, and every figure is a ratio of two that were measured side by side. The
//! server under test has the first core to itself, the load generator, a process of its own, the second.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, missing_docs)]

mod echo;
mod engines;
mod load;
mod peers;
mod report;
mod runs;
mod server;
mod texts;

use std::path::{Path, PathBuf};

use clap::{Parser, Subcommand, ValueEnum};

#[derive(Parser)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    /// Seconds of each measured stretch of load.
    #[arg(long, default_value_t = 10.0)]
    seconds: f64,
    /// Only these parts; all if none is named.
    #[arg(long, value_enum)]
    only: Vec<Part>,
    /// Where report.md, report.json and the plots go.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
}

#[derive(Subcommand)]
enum Command {
    /// Send load to a server; prints a JSON object.
    Load(load::Load),
    /// Measure the engines alone; prints a JSON object.
    Engines,
    /// A bare tonic server that answers every ticket with the same reply.
    Echo {
        /// Port on loopback.
        port: u16,
    },
}

/// A part of the report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Tokens per second of the engines alone.
    Engines,
    /// Throughput and latency of the service at several loads.
    Load,
    /// What a cached ticket costs.
    Cache,
    /// What single tickets notice of a bulk job.
    Bulk,
    /// Other servers of the same model.
    Peers,
    /// Start, memory, sizes.
    Footprint,
}

fn main() {
    let cli = Cli::parse();
    match cli.command {
        Some(Command::Load(load)) => load::run(load),
        Some(Command::Engines) => {
            let measured = engines::run(Path::new("models/bedside-minilm"));
            println!("{}", serde_json::to_string(&measured).unwrap());
        }
        Some(Command::Echo { port }) => echo::serve(port),
        None => runs::all(&cli.only, cli.seconds, &cli.out),
    }
}
