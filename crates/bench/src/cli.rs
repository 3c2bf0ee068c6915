//! The command line. However a command ends (normally, by error or by signal), no child process is left.

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

/// Demo, lab and benchmarks of qoe-router.
#[derive(Debug, Parser)]
#[command(name = "qoe-bench", version)]
pub struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compare mixed with disaggregated serving on four simulated GPUs.
    Demo(DemoArgs),
    /// Compare policies in virtual time.
    Lab(LabArgs),
    /// Compare the lab's figures with the real router, and a peer, in real time.
    Replay(ReplayArgs),
    /// Measure the CPU, latency and memory cost of qoe-router and its peers.
    Relay(RelayArgs),
    /// Measure the control plane: the time from a change of a pod to all routers.
    #[cfg(feature = "control")]
    Control(crate::control::ControlArgs),
    /// Serve as a minimal backend, so that measurements show the cost of the router.
    Backend(BackendArgs),
}

#[derive(Debug, clap::Args)]
struct BackendArgs {
    /// Address to listen on; repeatable.
    #[arg(long, default_value = "127.0.0.1:0")]
    listen: Vec<SocketAddr>,
    /// Answer to requests without a word `mode=MODE` in the prompt: unary, burst:TOKENS or paced:MS:TOKENS.
    #[arg(long, default_value = "unary")]
    mode: Mode,
}

impl Cli {
    /// Runs the command until it is done or SIGINT or SIGTERM arrives. All processes that it started have ended then.
    ///
    /// # Errors
    /// The error of the command, or the signal that interrupted it.
    pub async fn run(self) -> anyhow::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        // Dropping the future of the command drops its processes, which kills them.
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

/// Runs a long computation on its own thread, which does not keep the process from exiting.
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
