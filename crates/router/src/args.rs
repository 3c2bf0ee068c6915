//! The command line of `qoe-router`.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand};
use qoe_runtime::telemetry::LogArgs;

/// A QoE router for LLM inference: it disaggregates prefill and decode where that serves a request better.
#[derive(Debug, Parser)]
#[command(name = "qoe-router", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// A command instead of serving.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// Options of serving.
    #[command(flatten)]
    pub serve: Serve,
    /// Options of logging.
    #[command(flatten)]
    pub log: LogArgs,
}

/// A command besides serving.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Validate a configuration file, and print each error with its line and field.
    Validate {
        /// The configuration file.
        file: PathBuf,
    },
}

/// Options of serving.
#[derive(Debug, Args)]
pub struct Serve {
    /// Configuration file with `QoERoute` and `EndpointList` documents. It is reloaded when it changes.
    #[arg(long, value_name = "FILE", conflicts_with = "controller")]
    pub config: Option<PathBuf>,
    /// URL of the controllers to get routes from, instead of a file: `https://NAME.NAMESPACE.svc:9443`. The router
    /// connects to every address of the name, so name a headless Service.
    #[arg(long, value_name = "URL", conflicts_with = "config")]
    pub controller: Option<String>,
    /// Folder with `tls.crt`, `tls.key` and `ca.crt` for connections to controllers. It is read for each connection.
    #[arg(long, value_name = "FOLDER", requires = "controller")]
    pub controller_tls_dir: Option<PathBuf>,
    /// Folder to save the latest routes in, so that a router can restart while no controller is there.
    #[arg(long, value_name = "FOLDER", requires = "controller")]
    pub state_dir: Option<PathBuf>,
    /// Name of this router, as controllers see it. Default: the host name.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub router_id: Option<String>,
    /// Address that clients connect to. Port 0 picks a free port.
    #[arg(long, default_value = "0.0.0.0:8080", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Address of `/live`, `/ready`, `/metrics` and the debug pages.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// Number of worker threads. Default: one per core.
    #[arg(long, value_name = "N")]
    pub workers: Option<usize>,
    /// Interval between two scrapes of an endpoint's metrics.
    #[arg(long, default_value_t = 1000, value_name = "MILLISECONDS", value_parser = clap::value_parser!(u64).range(50..=60_000))]
    pub scrape_interval_ms: u64,
    /// Memory that all request bodies may hold together. A request that needs more is answered 503.
    #[arg(long, default_value_t = 1024, value_name = "MIB", value_parser = clap::value_parser!(u64).range(1..=1 << 20))]
    pub body_memory_mib: u64,
    /// How long a client's connection may be idle between two requests before the router closes it. Set it above the
    /// idle timeout of the load balancer in front (60 s on AWS ALB and nginx, 600 s on Google Cloud): if the router
    /// closes first, a request sent at that moment is lost, and the load balancer answers 502.
    #[arg(long, default_value_t = 75, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub client_idle_seconds: u64,
    /// How long to go on accepting connections after SIGTERM, while `/ready` answers 503: until every load balancer
    /// has noticed.
    #[arg(long, default_value_t = 0, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub drain_delay_seconds: u64,
    /// How long requests in flight and WebSockets may then go on. Those that are left are ended by the router: streams
    /// by an error event, other requests by 503, WebSockets by a close.
    #[arg(long, default_value_t = 30, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=3600))]
    pub drain_seconds: u64,
}

impl Serve {
    /// Interval between two scrapes of an endpoint's metrics.
    #[must_use]
    pub const fn scrape_interval(&self) -> Duration {
        Duration::from_millis(self.scrape_interval_ms)
    }
}
