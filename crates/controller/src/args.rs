//! The command line of `qoe-controller`.

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};
use qoe_runtime::telemetry::LogArgs;

/// Watches pods and QoERoutes, and tells routers which routes to serve on which endpoints.
#[derive(Debug, Parser)]
#[command(name = "qoe-controller", version)]
pub struct Cli {
    /// The subcommand.
    #[command(subcommand)]
    pub command: Command,
}

/// A subcommand.
#[derive(Debug, Subcommand)]
#[expect(clippy::large_enum_variant, reason = "one is parsed per process")]
pub enum Command {
    /// Run the controller.
    Run {
        /// The controller's settings.
        #[command(flatten)]
        run: Run,
        /// The settings of logs.
        #[command(flatten)]
        log: LogArgs,
    },
    /// Print the CustomResourceDefinition as YAML.
    Crd,
}

/// The settings of `qoe-controller run`.
#[derive(Clone, Debug, Args)]
#[group(id = "how")] // the variant's own group is called as the variant
pub struct Run {
    /// Serve the routes whose `spec.routerClassName` is this.
    #[arg(long, default_value = qoe_api::DEFAULT_CLASS, value_name = "NAME")]
    pub class: String,
    /// Namespaces to watch, separated by commas; all if not given.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    pub namespaces: Vec<String>,
    /// Listen here for routers (gRPC).
    #[arg(long, default_value = "0.0.0.0:9443", value_name = "ADDRESS")]
    pub listen: SocketAddr,
    /// Folder with `tls.crt`, `tls.key` and `ca.crt`, reloaded when they change. Routers must have a certificate of the
    /// same authority. If not given, anyone who can connect can read all routes.
    #[arg(long, value_name = "FOLDER")]
    pub tls_dir: Option<PathBuf>,
    /// Listen here for `/ready`, `/metrics` and the debug pages.
    #[arg(long, default_value = "127.0.0.1:9090", value_name = "ADDRESS")]
    pub admin: SocketAddr,
    /// Lease that elects the replica that writes; if not given, `qoe-controller-` and the class.
    #[arg(long, value_name = "NAME")]
    pub lease_name: Option<String>,
    /// Namespace of the lease; if not given, the controller's own.
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    pub lease_namespace: Option<String>,
    /// Name of this replica in the lease; if not given, made of the host name and the process ID.
    #[arg(long, value_name = "NAME", env = "POD_NAME")]
    pub identity: Option<String>,
    /// UID of this replica's pod, which becomes the owner of the lease: it is deleted with its last holder.
    #[arg(long, value_name = "UID", env = "POD_UID")]
    pub pod_uid: Option<String>,
    /// After SIGTERM, serve routers for this long while not ready.
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
