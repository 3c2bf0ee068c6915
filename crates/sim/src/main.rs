//! `qoe-sim`: a vLLM-compatible server over an engine model. See the library for what it does.

use std::io::Write;

use anyhow::Context;
use clap::Parser;
use qoe_sim::{Args, Server};
use tracing_subscriber::EnvFilter;

fn main() -> anyhow::Result<()> {
    let config = Args::parse().into_config();
    tracing_subscriber::fmt()
        .with_env_filter(EnvFilter::try_from_default_env().unwrap_or_else(|_| "warn".into()))
        .with_writer(std::io::stderr)
        .init();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let server = Server::start(config).await.context("cannot start")?;
        println!("qoe-sim listening on http://{}", server.addr);
        std::io::stdout().flush()?;
        tokio::select! {
            () = server.stopped() => anyhow::bail!("the engine died"),
            () = terminated() => Ok(()),
        }
    })
}

/// Waits for SIGTERM or SIGINT.
async fn terminated() {
    use tokio::signal::unix::{SignalKind, signal};
    let Ok(mut term) = signal(SignalKind::terminate()) else { return std::future::pending().await };
    tokio::select! {
        _ = term.recv() => {}
        _ = tokio::signal::ctrl_c() => {}
    }
}
