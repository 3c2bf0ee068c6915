//! The background thread: it follows the configuration and scrapes endpoints. Nothing on it waits for the disk.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use qoe_discovery::client::Client;
use qoe_discovery::tls::TlsFolder;
use qoe_runtime::drain::DrainWatch;
use qoe_runtime::readiness::Readiness;
use tokio::task::LocalSet;
use tokio::time::MissedTickBehavior;

use crate::args::Serve;
use crate::config::file::ConfigFile;
use crate::config::pushed::Pushed;
use crate::shared::Shared;

/// How often pushed routes are saved, and their age is recorded. A router that crashes loses the changes of this time on
/// its disk, which controllers send again; and `qoe_snapshot_age_seconds` is that much too low at most.
const TICK: Duration = Duration::from_secs(1);

/// The source of routes.
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
            Self::Controllers(client, pushed) => tokio::select! {
                () = client.run(Arc::clone(&pushed)) => {}
                () = ticking(move || pushed.tick()) => {}
            },
        }
    }
}

/// Calls `tick` for ever, each time on a thread that may wait for the disk, and never before the last call has returned.
async fn ticking(tick: impl Fn() + Clone + Send + 'static) {
    let mut ticks = tokio::time::interval(TICK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        if let Err(error) = tokio::task::spawn_blocking(tick.clone()).await {
            tracing::error!(%error, "pushed routes were not saved");
        }
    }
}

/// Starts the thread that follows the configuration and scrapes the endpoints, until the process drains.
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::sync::{Mutex, mpsc};
    use std::thread;

    use tokio::task::yield_now;

    use super::*;

    /// Each tick says on which thread it runs, and waits as if for the disk.
    #[tokio::test(start_paused = true)]
    async fn ticks_wait_on_another_thread_and_never_overlap() {
        let here = thread::current().id();
        let (release, released) = mpsc::channel::<()>();
        let (released, running) = (Arc::new(Mutex::new(released)), Arc::new(AtomicU32::new(0)));
        let (seen, mut threads) = tokio::sync::mpsc::unbounded_channel();
        let tick = {
            let running = Arc::clone(&running);
            move || {
                let others = running.fetch_add(1, Ordering::SeqCst);
                seen.send((thread::current().id(), others)).unwrap();
                assert!(released.lock().unwrap().recv().is_ok());
                running.fetch_sub(1, Ordering::SeqCst);
            }
        };
        let check = async {
            for _ in 0..3 {
                // Time goes on by itself only while no tick waits.
                let (thread, others) = threads.recv().await.unwrap();
                assert!(thread != here && others == 0);
                // Further ticks are due, and the one before still waits.
                tokio::time::advance(TICK * 3).await;
                yield_now().await;
                assert_eq!(running.load(Ordering::SeqCst), 1);
                release.send(()).unwrap();
            }
        };
        tokio::select! {
            () = ticking(tick) => unreachable!("it never ends"),
            () = check => {}
        }
    }
}
