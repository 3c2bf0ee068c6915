//! The command line of `qoe-controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use qoe_runtime::telemetry::LogArgs;

/// Watches pods and QoERoutes, and tells routers what to serve on which endpoints.
#[derive(Debug, Parser)]
#[command(name = "qoe-controller", version)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// What the program does.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
pub enum Command {
    /// Run the controller.
    Run {
        /// How.
        #[command(flatten)]
        run: Run,
        /// How to log.
        #[command(flatten)]
        log: LogArgs,
    },
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// How to run.
#[derive(Clone, Debug, Args)]
#[group(id = "how")] // the variant's own group is called as the variant
pub struct Run {
    /// The class of routes to serve: those whose `spec.routerClassName` says so.
    #[arg(long, default_value = qoe_api::DEFAULT_CLASS, value_name = "NAME")]
    pub class: String,
    /// The namespaces to watch, with commas; without it, all.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub namespaces: Vec<String>,
    /// Where routers connect (gRPC).
    #[arg(long, default_value = "0.0.0.0:9443", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// A folder with `tls.crt`, `tls.key` and `ca.crt`, read again as they change: routers must have a certificate of
    /// the same authority. Without it, anybody who can connect is told all routes.
    #[arg(long, value_name = "FOLDER")]
    pub tls_dir: Option<PathBuf>,
    /// Where `/ready`, `/metrics` and the debug pages are.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// The lease that says which replica writes; without it, `qoe-controller-` and the class.
    #[arg(long, value_name = "NAME")]
    pub lease_name: Option<String>,
    /// Its namespace; without it, the one the controller runs in.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// This replica's name in the lease; without it, the host's and the process's.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// The UID of this replica's pod, with which the lease goes when nobody takes it over.
    #[arg(long, value_name = "UID", env = "POD_UID")]
    pub pod_uid: Option<String>,
    /// How long to go on serving routers, not ready any more, after SIGTERM.
    #[arg(long, default_value_t = 5, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(0..=600))]
    pub drain_seconds: u64,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
        let cli = Cli::parse_from(["qoe-controller", "run", "--namespaces", "a,b"]);
        let Command::Run { run, .. } = cli.command else { panic!("it runs") };
        assert_eq!((run.namespaces.len(), run.class.as_str()), (2, "default"));
    }
}
