//! The process: workers, the background, the admin port, and their common end.

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
use tokio::time::Instant;

use crate::accept::listener as worker;
use crate::args::Serve;
use crate::observe::metrics::Metrics;
use crate::process::background::{background, routes};
use crate::process::pages;
use crate::scrape;
use crate::shared::Shared;

/// A running router. Dropped, it stops at once; [`Router::shut_down`] lets requests in flight end.
pub struct Router {
    address: SocketAddr,
    shared: Arc<Shared>,
    admin: AdminServer,
    readiness: Readiness,
    trigger: DrainTrigger,
    threads: Vec<JoinHandle<()>>,
}

impl Router {
    /// Starts the router. It serves when this returns.
    ///
    /// # Errors
    /// The configuration is bad, or an address cannot be bound.
    pub fn start(args: &Serve) -> anyhow::Result<Self> {
        let mut registry = Registry::default();
        let body_memory = usize::try_from(args.body_memory_mib << 20).unwrap_or(usize::MAX);
        let shared = Shared::new(Metrics::register(&mut registry), body_memory);
        let readiness = Readiness::new();
        let first_look = readiness.awaiting("a first look at the endpoints");
        let routes = routes(args, &shared, &readiness, &mut registry)?;
        let admin = pages::add(Admin::new(readiness.clone(), Arc::new(registry)), &shared)
            .serve(args.admin)
            .with_context(|| format!("cannot listen on {} (--admin)", args.admin))?;
        let (trigger, watch) = drain::channel();
        let (address, mut threads) = workers(args, &shared, &watch)?;
        let scraping = scrape::run(Arc::clone(&shared), args.scrape_interval(), first_look);
        threads.push(background(Arc::clone(&shared), routes, scraping, watch)?);
        Ok(Self { address, shared, admin, readiness, trigger, threads })
    }

    /// Where clients connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin pages are.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Is not ready any more, but goes on serving for `delay`, each client once more; then takes nothing new, and
    /// waits until requests in flight have ended, at most `within`.
    pub async fn shut_down(mut self, delay: Duration, within: Duration) {
        self.readiness.shut_down();
        self.shared.leaving.store(true, Ordering::Relaxed);
        tokio::time::sleep(delay).await;
        self.trigger.start(Instant::now() + within);
        self.trigger.finished().await;
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

/// Starts the workers, all on one address.
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
    for _ in 1..args.workers.unwrap_or(cores).max(1) {
        listeners.push(worker::listen(address).with_context(context)?);
    }
    let threads = listeners.into_iter().enumerate().map(|(i, listener)| {
        let (shared, watch) = (Arc::clone(shared), watch.clone());
        std::thread::Builder::new().name(format!("worker-{i}")).spawn(move || {
            if let Err(error) = worker::run(listener, shared, watch) {
                tracing::error!(%error, "a worker ended");
            }
        })
    });
    Ok((address, threads.collect::<Result<_, _>>()?))
}
