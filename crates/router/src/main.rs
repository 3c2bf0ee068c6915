//! `qoe-router`: the command line around [`qoe_router`].

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use qoe_router::args::{Cli, Command, Serve};
use qoe_router::{Router, config::file as config};
use qoe_runtime::{shutdown, telemetry};

fn main() -> ExitCode {
    let cli = Cli::parse();
    let done = match &cli.command {
        Some(Command::Validate { file }) => config::check(file).map(|config| {
            let (routes, endpoints) = (config.routes.len(), config.endpoints.len());
            println!("{}: good, {routes} routes and {endpoints} endpoints", file.display());
        }),
        None => telemetry::init(&cli.log).map_err(Into::into).and_then(|()| serve(&cli.serve)),
    };
    if let Err(error) = done {
        eprintln!("error: {error:#}");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

fn serve(args: &Serve) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signal = shutdown::signal()?;
        let mut router = Router::start(args)?;
        let (address, admin) = (router.address(), router.admin_address());
        println!("qoe-router listening on http://{address} (admin http://{admin})");
        let signal = signal.await;
        tracing::info!(?signal, "draining");
        let [delay, within] =
            [args.drain_delay_seconds, args.drain_seconds].map(Duration::from_secs);
        router.shut_down(delay, within).await;
        Ok(())
    })
}
