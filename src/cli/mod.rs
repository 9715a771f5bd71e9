//! The command line.

use std::{error::Error, path::PathBuf, process::ExitCode};

use clap::{Args, Parser, Subcommand};

use crate::{
    config::{InvalidSettings, Settings},
    telemetry,
};

mod classify;
mod demo;
mod evaluate;
mod serve;
mod service;

/// `EX_USAGE` of `sysexits.h`: the configuration is not valid.
const EXIT_INVALID_SETTINGS: u8 = 64;

/// Reads support tickets: how the customer feels, how soon someone must act, what to do first and in which tone.
#[derive(Parser)]
#[command(
    name = "bedside",
    version,
    after_help = "Exit status: 0 done, 1 failed, 2 wrong usage, 64 invalid configuration."
)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve gRPC, HTTP and operations until SIGTERM or Ctrl-C.
    Serve(serve::ServeArgs),
    /// Triage tickets from a file or standard input.
    Classify(classify::ClassifyArgs),
    /// Measure the model on labelled tickets, through the same path as serving.
    Evaluate(evaluate::EvaluateArgs),
    /// Serve, triage sample tickets through a gRPC client, show the answers, and go on serving.
    Demo(demo::DemoArgs),
}

/// Where settings come from beside the environment.
#[derive(Args)]
struct SettingsArgs {
    /// TOML file with settings.
    #[arg(long, env = "BEDSIDE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Folder of the model bundle [setting model.bundle].
    #[arg(long, value_name = "FOLDER")]
    bundle: Option<String>,
    /// Engine that runs the model: auto, rust-bert or onnx [setting model.engine].
    #[arg(long)]
    engine: Option<String>,
    /// auto, f32 or bf16 [setting model.precision].
    #[arg(long)]
    precision: Option<String>,
    /// Log directives such as info or bedside=debug [setting log.filter].
    #[arg(long, value_name = "DIRECTIVES")]
    log: Option<String>,
}

/// Why a command ended early.
type Failure = Box<dyn Error + Send + Sync>;

impl SettingsArgs {
    /// All layers, flags on top, `more` flags above all; starts logging.
    fn load(&self, more: &[(&'static str, &Option<String>)], quiet: bool) -> Result<Settings, InvalidSettings> {
        let own = [
            ("model.bundle", &self.bundle),
            ("model.engine", &self.engine),
            ("model.precision", &self.precision),
            ("log.filter", &self.log),
        ];
        let flags = own.iter().chain(more);
        let overrides: Vec<_> = flags.filter_map(|(setting, value)| Some((*setting, (*value).clone()?))).collect();
        let defaults: &[_] = if quiet { &[("log.filter", "warn")] } else { &[] };
        let settings = Settings::load(defaults, self.config.as_deref(), std::env::vars_os(), &overrides)?;
        telemetry::log_panics();
        telemetry::init_logging(&settings.log);
        Ok(settings)
    }
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let done = match Cli::parse().command {
        Command::Serve(args) => serve::run(&args),
        Command::Classify(args) => classify::run(&args),
        Command::Evaluate(args) => evaluate::run(&args),
        Command::Demo(args) => demo::run(&args),
    };
    let Err(failure) = done else {
        return ExitCode::SUCCESS;
    };
    eprintln!("bedside: {failure}");
    if failure.is::<InvalidSettings>() { ExitCode::from(EXIT_INVALID_SETTINGS) } else { ExitCode::FAILURE }
}
