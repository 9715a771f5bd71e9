//! `bedside serve`.

use clap::Args;
use tokio::runtime::Runtime;

use super::{Failure, SettingsArgs, service};
use crate::startup;

#[derive(Args)]
pub(super) struct ServeArgs {
    #[command(flatten)]
    settings: SettingsArgs,
    /// Address of gRPC [setting server.grpc_addr].
    #[arg(long, value_name = "ADDR")]
    grpc_addr: Option<String>,
    /// Address of public HTTP [setting server.http_addr].
    #[arg(long, value_name = "ADDR")]
    http_addr: Option<String>,
    /// Address of health, readiness and metrics [setting server.ops_addr].
    #[arg(long, value_name = "ADDR")]
    ops_addr: Option<String>,
    /// Redis to share scores through, such as redis://127.0.0.1/ [setting cache.redis.url].
    #[arg(long, value_name = "URL")]
    redis_url: Option<String>,
    /// Check the configuration and end.
    #[arg(long)]
    check_config: bool,
}

pub(super) fn run(args: &ServeArgs) -> Result<(), Failure> {
    let flags = [
        ("server.grpc_addr", &args.grpc_addr),
        ("server.http_addr", &args.http_addr),
        ("server.ops_addr", &args.ops_addr),
        ("cache.redis.url", &args.redis_url),
    ];
    let settings = args.settings.load(&flags, false)?;
    let parts = startup::open(&settings)?;
    if args.check_config {
        println!("the configuration is valid");
        return Ok(());
    }
    let runtime = Runtime::new()?;
    let listeners = runtime.block_on(service::bind(&settings))?;
    service::run(&runtime, &settings, parts, listeners, service::stop_signal())
}
