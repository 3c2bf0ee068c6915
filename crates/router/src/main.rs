//! `qoe-router`: the command line around [`qoe_router`].

use std::time::Duration;

use clap::Parser;
use qoe_router::args::{Cli, Command};
use qoe_router::{Router, config};
use qoe_runtime::{shutdown, telemetry};

fn main() -> anyhow::Result<()> {
    let cli = Cli::parse();
    if let Some(Command::Validate { file }) = &cli.command {
        let config = config::check(file)?;
        let (routes, endpoints) = (config.routes.len(), config.endpoints.len());
        println!("{}: good, {routes} routes and {endpoints} endpoints", file.display());
        return Ok(());
    }
    telemetry::init(&cli.log)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let signal = shutdown::signal()?;
        let router = Router::start(&cli.serve)?;
        println!(
            "qoe-router listening on http://{} (admin http://{})",
            router.address(),
            router.admin_address()
        );
        let signal = signal.await;
        tracing::info!(?signal, "draining");
        let [delay, within] =
            [cli.serve.drain_delay_seconds, cli.serve.drain_seconds].map(Duration::from_secs);
        router.shut_down(delay, within).await;
        Ok(())
    })
}
