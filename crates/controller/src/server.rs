//! The process: it starts watches, index, discovery, election and writer, and ends them together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use kube::{Api, Client};
use prometheus_client::registry::Registry as Prometheus;
use qoe_discovery::server::{Server, Times, World};
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
use crate::sight::{self, Outage, Sight, Signals};
use crate::watch::{Event, KindEvent, ScopedEvent, Watch, api, scope_name, scopes};
use crate::writer::{Parts, Writer};

/// Streams must have ended this long after the world is gone.
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
            tracing::warn!(%address, "without --tls-dir, anyone who can connect can read all routes");
        }
        let mut tasks = JoinSet::new();
        let (seen, events) = mpsc::channel(QUEUE);
        let scopes = scopes(&args.namespaces);
        let watches = Watches {
            client: &client,
            seen,
            readiness: &readiness,
            metrics: &metrics,
            sight: Sight::default(),
        };
        let outages = watches.start(&mut tasks, &scopes, worlds.clone());
        let outlets = Outlets { world, view };
        let awaiting = readiness.awaiting("routes to be published");
        let publisher =
            Publisher::new(&args.class, &scopes, outlets, Arc::clone(&metrics), awaiting, epoch);
        tasks.spawn(publisher.run(events));
        let (resign, resigned) = watch::channel(false);
        let (stop, stopped) = watch::channel(false);
        let leadership = Leadership::new(epoch);
        let identity = args.identity.clone().unwrap_or_else(|| {
            // Two replicas on one host must not share a name.
            format!("{}-{}", qoe_runtime::host_name(), std::process::id())
        });
        let candidate = lease::Replica { name: identity.clone(), pod_uid: args.pod_uid.clone() };
        let election =
            Election { args, client: &client, identity: candidate, leadership: &leadership };
        let election = tokio::spawn(election.run(outages.clone(), resigned));
        let parts = Parts {
            client,
            identity,
            view: views,
            outage: outages.clone(),
            registry: Arc::clone(&registry),
            leadership,
            metrics,
            epoch,
        };
        tasks.spawn(Writer::new(parts).run());
        let times = Times::default();
        let discovery = Server { world: worlds, outage: outages, routers: registry, times };
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

    /// Ends in good order: it is not ready any more and gives up the lease at once, but serves routers for the time of the
    /// drain, while they find other controllers.
    pub async fn shut_down(mut self) {
        self.readiness.shut_down();
        self.resign.send_replace(true);
        if (&mut self.election).await.is_err() {
            tracing::warn!("the election had ended already");
        }
        sleep(self.drain).await;
        self.stop.send_replace(true);
        // With the index goes the world, and with it every stream, in good order.
        self.tasks.shutdown().await;
        if timeout(STREAMS_WITHIN, &mut self.serving).await.is_err() {
            tracing::warn!("some streams to routers did not end in time and were cut");
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
    seen: mpsc::Sender<ScopedEvent>,
    readiness: &'a Readiness,
    metrics: &'a Arc<Metrics>,
    sight: Sight,
}

impl Watches<'_> {
    /// Watches all scopes, and reports outages.
    fn start(
        self,
        tasks: &mut JoinSet<()>,
        scopes: &[Arc<str>],
        world: watch::Receiver<Option<Arc<World>>>,
    ) -> watch::Receiver<Outage> {
        for scope in scopes {
            self.spawn(tasks, scope);
        }
        let apis = scopes.iter().map(|scope| api(self.client, scope)).collect();
        tasks.spawn(sight::probe(apis, self.sight.source("QoERoutes", None)));
        let (outage, outages) = watch::channel(None);
        let (readiness, metrics) = (self.readiness.clone(), Arc::clone(self.metrics));
        let signals = Signals { readiness, outage, metrics, world };
        tasks.spawn(sight::report_outages(self.sight, signals));
        outages
    }

    /// Watches pods and routes in a scope.
    fn spawn(&self, tasks: &mut JoinSet<()>, scope: &Arc<str>) {
        tasks.spawn(self.watch(api(self.client, scope), scope, PODS, KindEvent::Pods).run());
        tasks.spawn(self.watch(api(self.client, scope), scope, ROUTES, KindEvent::Routes).run());
    }

    fn watch<K>(
        &self,
        api: Api<K>,
        scope: &Arc<str>,
        kind: &'static str,
        wrap: fn(Event<K>) -> KindEvent,
    ) -> Watch<K> {
        Watch {
            api,
            scope: Arc::clone(scope),
            kind,
            wrap,
            out: self.seen.clone(),
            readiness: self.readiness.clone(),
            source: self.sight.source(&format!("{kind} of {}", scope_name(scope)), Some(scope)),
            failures: self.metrics.watch_failures(kind),
        }
    }
}

/// This replica's part in the election.
struct Election<'a> {
    args: &'a Run,
    client: &'a Client,
    identity: lease::Replica,
    leadership: &'a Leadership,
}

impl Election<'_> {
    /// Takes part until `resigned`.
    fn run(
        self,
        outage: watch::Receiver<Outage>,
        resigned: watch::Receiver<bool>,
    ) -> impl Future<Output = ()> + use<> {
        let Self { args, client, identity, leadership } = self;
        let api = match &args.lease_namespace {
            Some(namespace) => Api::namespaced(client.clone(), namespace),
            None => Api::default_namespaced(client.clone()),
        };
        let name =
            args.lease_name.clone().unwrap_or_else(|| format!("qoe-controller-{}", args.class));
        Candidate::new(api, &name, identity, leadership.clone(), outage).run(until(resigned))
    }
}

async fn until(mut stopped: watch::Receiver<bool>) {
    // A sender that is gone has stopped too.
    drop(stopped.wait_for(|stopped| *stopped).await);
}
