//! The process: watches, index, discovery, election and writer, and their common end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::{Api, Client};
use prometheus_client::registry::Registry as Prometheus;
use qoe_discovery::server::{Server, Times};
use qoe_discovery::tls::TlsFolder;
use qoe_runtime::admin::{Admin, AdminServer};
use qoe_runtime::readiness::Readiness;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, sleep, timeout};

use crate::args::Run;
use crate::index::View;
use crate::lease::{self, Candidate, Leadership};
use crate::metrics::Metrics;
use crate::pages;
use crate::publish::{Outlets, PODS, Publisher, ROUTES};
use crate::registry::Registry;
use crate::watch::{Seen, Watch, What, api, scopes};
use crate::writer::{Parts, Writer};

/// Streams end within this, once there is nothing more to tell.
const STREAMS_WITHIN: Duration = Duration::from_secs(2);
/// Events of watches that wait for the index.
const QUEUE: usize = 1024;

/// A running controller. Dropped, it stops at once; [`Controller::shut_down`] gives up the lease first.
pub struct Controller {
    address: SocketAddr,
    admin: AdminServer,
    readiness: Readiness,
    resign: watch::Sender<bool>,
    stop: watch::Sender<bool>,
    election: JoinHandle<()>,
    serving: JoinHandle<()>,
    tasks: JoinSet<()>,
    drain: Duration,
}

impl Controller {
    /// Starts the controller.
    ///
    /// # Errors
    /// An address cannot be bound, or the certificates cannot be used.
    pub async fn start(args: &Run, client: Client) -> anyhow::Result<Self> {
        let epoch = Instant::now();
        let mut prometheus = Prometheus::default();
        let metrics = Arc::new(Metrics::register(&mut prometheus));
        let readiness = Readiness::new();
        let registry = Arc::new(Registry::new(epoch));
        let (world, worlds) = watch::channel(None);
        let (view, views) = watch::channel(Arc::<View>::default());
        let admin = Admin::new(readiness.clone(), Arc::new(prometheus));
        let admin = pages::add(admin, views.clone(), Arc::clone(&registry))
            .serve(args.admin)
            .with_context(|| format!("cannot listen on {} (--admin)", args.admin))?;
        let listener = TcpListener::bind(args.listen)
            .await
            .with_context(|| format!("cannot listen on {} (--listen)", args.listen))?;
        let address = listener.local_addr()?;
        let tls = args.tls_dir.as_deref().map(TlsFolder::new);
        if let Some(tls) = &tls {
            tls.check().context("--tls-dir")?;
        } else if !address.ip().is_loopback() {
            tracing::warn!(%address, "without --tls-dir anybody who can connect is told all routes");
        }
        let mut tasks = JoinSet::new();
        let (seen, events) = mpsc::channel(QUEUE);
        let scopes = scopes(&args.namespaces);
        for scope in &scopes {
            let watches =
                Watches { client: &client, seen: &seen, readiness: &readiness, metrics: &metrics };
            watches.spawn(&mut tasks, scope);
        }
        let outlets = Outlets { world, view };
        let awaiting = readiness.awaiting("routes to be published");
        let publisher =
            Publisher::new(&args.class, &scopes, outlets, Arc::clone(&metrics), awaiting, epoch);
        tasks.spawn(publisher.run(events));
        let (resign, resigned) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let leadership = Leadership::new(epoch);
        let identity = args.identity.clone().unwrap_or_else(|| {
            // Two on one host are two.
            format!("{}-{}", qoe_runtime::host_name(), std::process::id())
        });
        let candidate = lease::Identity { name: identity.clone(), pod_uid: args.pod_uid.clone() };
        let election = tokio::spawn(election(args, &client, candidate, &leadership, resigned));
        let parts = Parts {
            client,
            identity,
            view: views,
            registry: Arc::clone(&registry),
            leadership,
            metrics,
            epoch,
        };
        tasks.spawn(Writer::new(parts).run());
        let discovery = Server { world: worlds, routers: registry, times: Times::default() };
        let serving = tokio::spawn(async move {
            if let Err(error) = discovery.serve(listener, tls, until(stopped)).await {
                tracing::error!(%error, "discovery ended");
            }
        });
        let drain = Duration::from_secs(args.drain_seconds);
        Ok(Self { address, admin, readiness, resign, stop, election, serving, tasks, drain })
    }

    /// Where routers connect.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where the admin pages are.
    #[must_use]
    pub const fn admin_address(&self) -> SocketAddr {
        self.admin.address()
    }

    /// Is not ready any more, and gives up the lease at once; goes on telling routers for the time of the drain, while
    /// they find the others.
    pub async fn shut_down(mut self) {
        self.readiness.shut_down();
        self.resign.send_replace(true);
        if (&mut self.election).await.is_err() {
            tracing::warn!("the election had ended before");
        }
        sleep(self.drain).await;
        self.stop.send_replace(true);
        // With the index goes the world, and with it every stream, in good order.
        self.tasks.shutdown().await;
        if timeout(STREAMS_WITHIN, &mut self.serving).await.is_err() {
            tracing::warn!("streams of routers were cut");
        }
    }
}

impl Drop for Controller {
    fn drop(&mut self) {
        self.election.abort();
        self.serving.abort();
    }
}

/// What all watches share.
struct Watches<'a> {
    client: &'a Client,
    seen: &'a mpsc::Sender<Seen>,
    readiness: &'a Readiness,
    metrics: &'a Metrics,
}

impl Watches<'_> {
    /// Watches pods and routes in a scope.
    fn spawn(&self, tasks: &mut JoinSet<()>, scope: &Arc<str>) {
        let pods = Watch {
            api: api(self.client, scope),
            scope: Arc::clone(scope),
            kind: PODS,
            seen: What::Pods,
            read: What::PodsRead,
            floor: What::PodsFloor,
            out: self.seen.clone(),
            readiness: self.readiness.clone(),
            failures: self.metrics.watch_failures(PODS),
        };
        let routes = Watch {
            api: api(self.client, scope),
            scope: Arc::clone(scope),
            kind: ROUTES,
            seen: What::Routes,
            read: What::RoutesRead,
            floor: What::RoutesFloor,
            out: self.seen.clone(),
            readiness: self.readiness.clone(),
            failures: self.metrics.watch_failures(ROUTES),
        };
        tasks.spawn(pods.run());
        tasks.spawn(routes.run());
    }
}

/// Takes part in the election until `resigned`.
fn election(
    args: &Run,
    client: &Client,
    identity: lease::Identity,
    leadership: &Leadership,
    resigned: watch::Receiver<bool>,
) -> impl Future<Output = ()> + use<> {
    let api = match &args.lease_namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::default_namespaced(client.clone()),
    };
    let name = args.lease_name.clone().unwrap_or_else(|| format!("qoe-controller-{}", args.class));
    let times = lease::Times::default();
    let candidate = Candidate::new(api, &name, identity, times, leadership.clone());
    candidate.run(until(resigned))
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
