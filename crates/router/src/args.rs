//! The command line of `qoe-router`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use qoe_runtime::telemetry::LogArgs;

/// The QoE router for LLM inference: prefill and decoding, each on the endpoints that do it best.
#[derive(Debug, Parser)]
#[command(name = "qoe-router", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to serve.
    #[command(flatten)]
    pub serve: Serve,
    /// How to log.
    #[command(flatten)]
    pub log: LogArgs,
}

/// What the program does besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Check a configuration file and say what is wrong with it, with line and field.
    Validate {
        /// The file.
        file: PathBuf,
    },
}

/// How to serve.
#[derive(Debug, Args)]
pub struct Serve {
    /// The configuration: `QoERoute` and `EndpointList` documents. It is read again when it changes.
    #[arg(long, value_name = "FILE", conflicts_with = "controller")]
    pub config: Option<PathBuf>,
    /// The controllers to get routes from, instead of a file: `https://NAME.NAMESPACE.svc:9443`. Every address that
    /// the name has is listened to, so name a headless service.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub controller: Option<String>,
    /// A folder with `tls.crt`, `tls.key` and `ca.crt` for the controllers; read again at each connection.
    #[arg(long, value_name = "FOLDER", requires = "controller")]
    pub controller_tls_dir: Option<PathBuf>,
    /// Where the last good routes are kept, to be served after a restart without a controller.
    #[arg(long, value_name = "FOLDER", requires = "controller")]
    pub state_dir: Option<PathBuf>,
    /// This router's name to controllers; without it, the host's.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub router_id: Option<String>,
    /// Where clients connect; port 0 takes a free one.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Where `/ready`, `/metrics` and the debug pages are.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// Worker threads; without it, one a core.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// How often endpoints' metrics are looked at.
    #[arg(long, default_value_t = 1000, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub scrape_interval_ms: u64,
    /// Memory that request bodies may hold together; beyond, requests are answered 503.
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub body_memory_mib: u64,
    /// How long to go on serving, not ready any more, after SIGTERM: until nobody sends new connections.
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub drain_delay_seconds: u64,
    /// How long requests in flight may take to end after SIGTERM.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain_seconds: u64,
}

impl Serve {
    /// How often endpoints' metrics are looked at.
    #[must_use]
    pub const fn scrape_interval(&self) -> Duration {
        Duration::from_millis(self.scrape_interval_ms)
    }
}
