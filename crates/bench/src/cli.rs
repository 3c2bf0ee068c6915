//! The command line, and the way out of it: by end, error or signal, no child is left behind.

use std::net::SocketAddr;

use anyhow::Context;
use clap::{Parser, Subcommand};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use crate::backend::{self, Mode};
use crate::demo::{self, DemoArgs};
use crate::lab::{self, LabArgs};
use crate::relay::{self, RelayArgs};
use crate::replay::{self, ReplayArgs};

/// Load, stand-in backends, the demo, and what relaying costs.
#[derive(Debug, Parser)]
#[command(name = "qoe-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare mixed with disaggregated serving over four simulated GPUs.
    Demo(DemoArgs),
    /// Compare policies in virtual time.
    Lab(LabArgs),
    /// Hold the lab against the real router, and a peer, in real time.
    Replay(ReplayArgs),
    /// Measure what our router costs beside its peers.
    Relay(RelayArgs),
    /// Measure the control plane: from a pod's change to the routers.
    #[cfg(feature = "control")]
    Control(crate::control::ControlArgs),
    /// Serve as a backend that costs next to nothing.
    Backend(BackendArgs),
}

#[derive(Debug, clap::Args)]
struct BackendArgs {
    /// Address to listen on; may be given several times.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Vec<SocketAddr>,
    /// The answer to requests without a word `mode=MODE` in their prompt: unary, burst:TOKENS or paced:MS:TOKENS.
    #[arg(long, default_value = "unary")]
    mode: Mode,
}

impl Cli {
    /// Does what was asked, until it is done or SIGINT or SIGTERM comes; then all it started has ended.
    ///
    /// # Errors
    /// What the command failed of, or that it was interrupted.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Dropping the command's future drops the processes it holds, which ends them.
        tokio::select! {
            done = self.command.run() => done,
            _ = terminate.recv() => anyhow::bail!("terminated"),
            _ = interrupt.recv() => anyhow::bail!("interrupted"),
        }
    }
}

impl Command {
    async fn run(self) -> anyhow::Result<()> {
        match self {
            Self::Demo(args) => demo::run(args).await,
            Self::Lab(args) => on_a_thread(move || lab::run(&args)).await,
            Self::Replay(args) => replay::run(args).await,
            Self::Relay(args) => relay::run(args).await,
            #[cfg(feature = "control")]
            Self::Control(args) => crate::control::run(args).await,
            Self::Backend(args) => args.run().await,
        }
    }
}

/// Runs what computes for long on a thread of its own, which does not keep the process from ending.
async fn on_a_thread(
    work: impl FnOnce() -> anyhow::Result<()> + Send + 'static,
) -> anyhow::Result<()> {
    let (done, result) = tokio::sync::oneshot::channel();
    std::thread::spawn(move || done.send(work()));
    result.await.context("the work panicked")?
}

impl BackendArgs {
    async fn run(self) -> anyhow::Result<()> {
        let mut listeners = Vec::new();
        for address in self.listen {
            let listener = TcpListener::bind(address)
                .await
                .with_context(|| format!("cannot listen on {address}"))?;
            println!("qoe-bench backend listening on http://{}", listener.local_addr()?);
            listeners.push(listener);
        }
        backend::serve(listeners, self.mode).await
    }
}
