//! The background thread: configuration, scraping.

use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::Context;
use prometheus_client::registry::Registry;
use qoe_discovery::client::Client;
use qoe_discovery::tls::TlsFolder;
use qoe_runtime::drain::DrainWatch;
use qoe_runtime::readiness::Readiness;
use tokio::task::LocalSet;

use crate::args::Serve;
use crate::config::file::ConfigFile;
use crate::config::pushed::Pushed;
use crate::process::router::TICK;
use crate::shared::Shared;

/// Where routes come from.
pub(super) enum Routes {
    File(ConfigFile),
    Controllers(Client, Arc<Pushed>),
}

/// Opens the source of routes that the arguments name.
pub(super) fn routes(
    args: &Serve,
    shared: &Arc<Shared>,
    readiness: &Readiness,
    registry: &mut Registry,
) -> anyhow::Result<Routes> {
    if let Some(path) = &args.config {
        return ConfigFile::open(path.clone(), shared).map(Routes::File);
    }
    let address = args.controller.as_ref().context(
        "no configuration: give --config FILE with QoERoute and EndpointList documents, or --controller URL",
    )?;
    let tls = args.controller_tls_dir.as_deref().map(TlsFolder::new);
    if let Some(tls) = &tls {
        tls.client().context("--controller-tls-dir")?;
    }
    let name = args.router_id.clone().unwrap_or_else(qoe_runtime::host_name);
    let client = Client::new(address, tls, name, env!("CARGO_PKG_VERSION"))?;
    shared.metrics.register_pushed(registry);
    let awaiting = readiness.awaiting("routes from a controller");
    let pushed = Pushed::open(shared, args.state_dir.as_deref(), awaiting);
    Ok(Routes::Controllers(client, pushed))
}

impl Routes {
    /// Follows the source for ever.
    async fn follow(self, shared: Arc<Shared>) {
        match self {
            Self::File(config) => config.watch(shared).await,
            Self::Controllers(client, pushed) => {
                let mut ticks = tokio::time::interval(TICK);
                let ticking = async {
                    loop {
                        ticks.tick().await;
                        pushed.tick();
                    }
                };
                tokio::select! {
                    () = client.run(Arc::clone(&pushed)) => {}
                    () = ticking => {}
                }
            }
        }
    }
}

/// Starts the thread that follows the configuration and looks at the endpoints.
pub(super) fn background(
    shared: Arc<Shared>,
    routes: Routes,
    scraping: impl Future<Output = ()> + Send + 'static,
    watch: DrainWatch,
) -> anyhow::Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let thread = std::thread::Builder::new().name("background".into()).spawn(move || {
        let work = async {
            tokio::select! {
                () = routes.follow(shared) => {}
                () = scraping => {}
                _ = watch.draining() => {}
            }
        };
        LocalSet::new().block_on(&runtime, work);
    })?;
    Ok(thread)
}
