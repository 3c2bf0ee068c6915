//! What all workers and the background share: the snapshot in use, the clock, and what is recorded.
//!
//! Here a configuration is put into use, and only here. It must not know connections or requests.

pub(crate) mod body_memory;
pub(crate) mod stored;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::clock::Clock;
use crate::observe::metrics::Metrics;
use crate::observe::ring::Ring;
use crate::routes::lower::lower;
use crate::routes::route::Route;
use crate::routes::snapshot::Snapshot;
use crate::routes::source::RouteSource;
use crate::shared::body_memory::BodyMemory;
use crate::shared::stored::StoredResponses;

/// The process's shared state. It is mostly read: the snapshot is swapped whole, and counters have a shard per worker.
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) metrics: Metrics,
    pub(crate) ring: Ring,
    pub(crate) stored: StoredResponses,
    pub(crate) body_memory: Arc<BodyMemory>,
    /// The process is about to end: clients should connect elsewhere.
    pub(crate) leaving: AtomicBool,
    /// The drain's deadline has passed: requests that have not ended are ended by the router.
    pub(crate) past_deadline: AtomicBool,
    pub(crate) clock: Clock,
}

impl Shared {
    /// Nothing configured yet. `body_memory` is the number of bytes that request bodies may hold together.
    pub(crate) fn new(metrics: Metrics, body_memory: usize) -> Arc<Self> {
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            metrics,
            ring: Ring::default(),
            stored: StoredResponses::default(),
            body_memory: Arc::new(BodyMemory::new(body_memory)),
            leaving: AtomicBool::new(false),
            past_deadline: AtomicBool::new(false),
            clock: Clock::start(),
        })
    }

    /// Serves by these routes from now on, if they differ from those in use. To be called from one thread.
    pub(crate) fn configure(&self, sources: &[Arc<RouteSource>]) {
        let previous = self.snapshot.load();
        if previous.is_of(sources) {
            return;
        }
        let (snapshot, effects) = lower(sources, &previous);
        log_new_endpoints(&previous, &snapshot);
        effects.apply();
        snapshot.index_models();
        let metrics = snapshot.routes.iter().map(|route| Arc::clone(&route.state.metrics));
        self.metrics.put_into_use(metrics.collect(), &snapshot.endpoints);
        self.metrics.config_read("applied");
        self.metrics.config_version.set(i64::try_from(snapshot.version).unwrap_or(i64::MAX));
        self.snapshot.store(Arc::new(snapshot));
    }

    /// Time since the process's epoch: the `now` of every decision.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }
}

/// Logs each endpoint that is new to its route, with its role and what that was read from.
fn log_new_endpoints(previous: &Snapshot, snapshot: &Snapshot) {
    let before: HashMap<&str, &Arc<Route>> =
        previous.routes.iter().map(|route| (&*route.name, route)).collect();
    for route in &snapshot.routes {
        let known: HashSet<&str> = before
            .get(&*route.name)
            .into_iter()
            .flat_map(|route| route.pool.iter().map(|endpoint| &*endpoint.state.authority))
            .collect();
        for endpoint in route.pool.iter().filter(|e| !known.contains(&*e.state.authority)) {
            tracing::info!(
                route = %route.name,
                endpoint = %endpoint.state.name,
                address = %endpoint.state.authority,
                role = endpoint.role.as_str(),
                role_source = ?endpoint.role_source,
                "endpoint added"
            );
        }
    }
}
