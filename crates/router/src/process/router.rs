//! Starts workers, the background thread and the admin port, and ends them together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Context;
use prometheus_client::registry::Registry;
use qoe_runtime::admin::{Admin, AdminServer};
use qoe_runtime::drain::{self, DrainTrigger, DrainWatch};
use qoe_runtime::readiness::Readiness;
use tokio::time::{Instant, timeout};

use crate::accept::listener::{self as worker, Start};
use crate::args::Serve;
use crate::observe::metrics::Metrics;
use crate::process::background::{background, routes};
use crate::process::pages;
use crate::scrape;
use crate::shared::Shared;

/// Threads must end within this time after the drain's deadline. Workers take up to a second to close what is left; the
/// chart gives the pod 5 s more than its drain, and then it is killed.
const END_WITHIN: Duration = Duration::from_secs(3);

/// A running router. When it is dropped, it stops at once; [`Router::shut_down`] lets requests in flight end first.
pub struct Router {
    address: SocketAddr,
    shared: Arc<Shared>,
    admin: AdminServer,
    readiness: Readiness,
    trigger: DrainTrigger,
    threads: Vec<JoinHandle<()>>,
}

impl Router {
    /// Starts the router. It accepts connections when this returns.
    ///
    /// # Errors
    /// The configuration is invalid, or an address cannot be bound.
    pub fn start(args: &Serve) -> anyhow::Result<Self> {
        let mut registry = Registry::default();
        let body_memory = usize::try_from(args.body_memory_mib << 20).unwrap_or(usize::MAX);
        let shared = Shared::new(Metrics::register(&mut registry), body_memory);
        let readiness = Readiness::new();
        let first_scrape = readiness.awaiting("first scrape of the endpoints");
        let routes = routes(args, &shared, &readiness, &mut registry)?;
        let admin = pages::add(Admin::new(readiness.clone(), Arc::new(registry)), &shared)
            .serve(args.admin)
            .with_context(|| format!("cannot listen on {} (--admin)", args.admin))?;
        let (trigger, watch) = drain::channel();
        let (address, mut threads) = workers(args, &shared, &watch)?;
        let scraping = scrape::run(Arc::clone(&shared), args.scrape_interval(), first_scrape);
        threads.push(background(Arc::clone(&shared), routes, scraping, watch)?);
        Ok(Self { address, shared, admin, readiness, trigger, threads })
    }

    /// The address that clients connect to.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin pages.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Drains. `/ready` answers 503 at once, but connections are accepted for `delay` more, and each answer tells its
    /// client to connect anew. Then requests in flight and tunnels have until `within` to end. The admin pages are
    /// there until the router is dropped.
    pub async fn shut_down(&mut self, delay: Duration, within: Duration) {
        self.readiness.shut_down();
        self.shared.leaving.store(true, Ordering::Relaxed);
        tokio::time::sleep(delay).await;
        self.trigger.start(Instant::now() + within);
        if timeout(within + END_WITHIN, self.trigger.finished()).await.is_err() {
            tracing::warn!("a thread did not end with the drain: the process ends without it");
            return;
        }
        for thread in self.threads.drain(..) {
            drop(thread.join());
        }
    }
}

impl Drop for Router {
    fn drop(&mut self) {
        self.readiness.shut_down();
        self.trigger.start(Instant::now());
    }
}

/// Starts the workers, which all listen on one address.
fn workers(
    args: &Serve,
    shared: &Arc<Shared>,
    watch: &DrainWatch,
) -> anyhow::Result<(SocketAddr, Vec<JoinHandle<()>>)> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let context = || format!("cannot listen on {} (--listen)", args.listen);
    let first = worker::listen(args.listen).with_context(context)?;
    let address = first.local_addr()?;
    let mut listeners = vec![first];
    let client_idle = Duration::from_secs(args.client_idle_seconds);
    for _ in 1..args.workers.unwrap_or(cores).max(1) {
        listeners.push(worker::listen(address).with_context(context)?);
    }
    let threads = listeners.into_iter().enumerate().map(|(i, listener)| {
        let (shared, drain) = (Arc::clone(shared), watch.clone());
        std::thread::Builder::new().name(format!("worker-{i}")).spawn(move || {
            let start = Start { listener, shared, drain, client_idle };
            if let Err(error) = worker::run(start) {
                tracing::error!(%error, "a worker cannot run");
            }
        })
    });
    Ok((address, threads.collect::<Result<_, _>>()?))
}
