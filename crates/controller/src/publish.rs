//! The task that owns the index: takes in what the watches see, and publishes when it is time.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kube::runtime::watcher::Event;
use qoe_discovery::Version;
use qoe_discovery::server::World;
use qoe_runtime::readiness::Guard;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::fold::{Fold, Urgency};
use crate::index::{Index, RawRoute, RouteKey, View, key_of};
use crate::metrics::Metrics;
use crate::pod::{Pod, PodFacts};
use crate::watch::{Seen, What};

/// Events that are taken in before it is looked whether it is time to publish.
const BATCH: usize = 512;

/// The kinds that are listed.
pub(crate) const PODS: &str = "pods";
pub(crate) const ROUTES: &str = "qoeroutes";

/// Owns the index.
pub(crate) struct Publisher {
    index: Index,
    fold: Fold,
    metrics: Arc<Metrics>,
    epoch: Instant,
    /// Lists that are not whole yet, and what they have seen.
    pods_listing: HashMap<Arc<str>, Listing<(String, Arc<str>)>>,
    routes_listing: HashMap<Arc<str>, Listing<RouteKey>>,
    /// Lists that are awaited before anything is published: of a kind, in a scope.
    missing: HashSet<(&'static str, Arc<str>)>,
    /// Dropped with the first publication.
    awaiting: Option<Guard>,
    /// A status was seen: the view is old.
    seen_status: bool,
    world: watch::Sender<Option<Arc<World>>>,
    view: watch::Sender<Arc<View>>,
}

/// A list that is not whole yet.
struct Listing<K> {
    there: HashSet<K>,
    /// The history up to here is in the list.
    floor: u64,
}

impl<K> Default for Listing<K> {
    fn default() -> Self {
        Self { there: HashSet::new(), floor: 0 }
    }
}

/// Where it publishes to.
pub(crate) struct Outlets {
    pub(crate) world: watch::Sender<Option<Arc<World>>>,
    pub(crate) view: watch::Sender<Arc<View>>,
}

impl Publisher {
    /// Nothing is published before pods and routes are listed in all of `scopes`.
    pub(crate) fn new(
        class: &str,
        scopes: &[Arc<str>],
        outlets: Outlets,
        metrics: Arc<Metrics>,
        awaiting: Guard,
        epoch: Instant,
    ) -> Self {
        let Outlets { world, view } = outlets;
        Self {
            index: Index::new(class),
            fold: Fold::default(),
            metrics,
            epoch,
            pods_listing: HashMap::new(),
            routes_listing: HashMap::new(),
            missing: scopes
                .iter()
                .flat_map(|scope| [PODS, ROUTES].map(|kind| (kind, Arc::clone(scope))))
                .collect(),
            awaiting: Some(awaiting),
            seen_status: false,
            world,
            view,
        }
    }

    /// Takes in and publishes until the watches are gone.
    pub(crate) async fn run(mut self, mut seen: mpsc::Receiver<Seen>) {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            let due = self.fold.due().filter(|_| self.missing.is_empty());
            let due_at = due.map(|due| self.epoch + due);
            let time_to_publish = async {
                match due_at {
                    Some(at) => sleep_until(at).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                biased;
                () = time_to_publish => self.publish(),
                taken = seen.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    for seen in batch.drain(..) {
                        let urgency = self.take_in(seen);
                        self.fold.changed(urgency, self.epoch.elapsed());
                    }
                    if std::mem::take(&mut self.seen_status) && self.missing.is_empty() {
                        self.view.send_replace(Arc::new(self.index.view()));
                    }
                }
            }
        }
    }

    fn publish(&mut self) {
        let began = Instant::now();
        let now = self.epoch.elapsed();
        let (world, view) = self.index.publish(now);
        self.fold.published(now);
        self.metrics.published(&world, &view, began.elapsed());
        self.view.send_replace(Arc::new(view));
        self.world.send_replace(Some(world));
        self.awaiting = None;
    }

    fn take_in(&mut self, seen: Seen) -> Urgency {
        let scope = seen.scope;
        match seen.what {
            What::PodsRead(pods) => {
                self.index.read_up_to(&scope, Version { pods, routes: 0 });
                Urgency::Late
            }
            What::RoutesRead(routes) => {
                self.index.read_up_to(&scope, Version { pods: 0, routes });
                Urgency::Late
            }
            What::PodsFloor(floor) => {
                self.pods_listing.entry(scope).or_default().floor = floor;
                Urgency::None
            }
            What::RoutesFloor(floor) => {
                self.routes_listing.entry(scope).or_default().floor = floor;
                Urgency::None
            }
            What::Pods(event) => self.pods(&scope, event),
            What::Routes(event) => self.routes(&scope, event),
        }
    }

    fn pods(&mut self, scope: &Arc<str>, event: Event<Pod>) -> Urgency {
        match event {
            Event::Init => {
                self.pods_listing.insert(Arc::clone(scope), Listing::default());
                Urgency::None
            }
            Event::InitApply(pod) => {
                let Some((namespace, facts)) = PodFacts::of(pod) else { return Urgency::None };
                if let Some(listing) = self.pods_listing.get_mut(scope) {
                    listing.there.insert((namespace.clone(), Arc::clone(&facts.name)));
                }
                self.index.pod(&namespace, facts)
            }
            Event::InitDone => {
                let Some(Listing { there, floor }) = self.pods_listing.remove(scope) else {
                    return Urgency::None;
                };
                self.index.read_up_to(scope, Version { pods: floor, routes: 0 });
                self.index.only_pods(scope, &there).max(self.listed(PODS, scope))
            }
            Event::Apply(pod) => PodFacts::of(pod)
                .map_or(Urgency::None, |(namespace, facts)| self.index.pod(&namespace, facts)),
            Event::Delete(pod) => PodFacts::of(pod).map_or(Urgency::None, |(namespace, facts)| {
                self.index.pod_gone(&namespace, &facts.name)
            }),
        }
    }

    fn routes(&mut self, scope: &Arc<str>, event: Event<RawRoute>) -> Urgency {
        match event {
            Event::Init => {
                self.routes_listing.insert(Arc::clone(scope), Listing::default());
                Urgency::None
            }
            Event::InitApply(route) => {
                let listing = self.routes_listing.get_mut(scope);
                if let (Some(listing), Some(key)) = (listing, key_of(&route)) {
                    listing.there.insert(key);
                }
                self.route(route)
            }
            Event::InitDone => {
                let Some(Listing { there, floor }) = self.routes_listing.remove(scope) else {
                    return Urgency::None;
                };
                self.index.read_up_to(scope, Version { pods: 0, routes: floor });
                self.index.only_routes(scope, &there).max(self.listed(ROUTES, scope))
            }
            Event::Apply(route) => self.route(route),
            Event::Delete(route) => {
                key_of(&route).map_or(Urgency::None, |key| self.index.route_gone(&key))
            }
        }
    }

    fn route(&mut self, route: RawRoute) -> Urgency {
        let urgency = self.index.route(route);
        self.seen_status |= urgency == Urgency::None;
        urgency
    }

    /// One more list is whole, and read. The last of the first ones is what everything has waited for.
    fn listed(&mut self, kind: &'static str, scope: &Arc<str>) -> Urgency {
        let awaited = self.missing.remove(&(kind, Arc::clone(scope)));
        if awaited && self.missing.is_empty() { Urgency::Now } else { Urgency::Late }
    }
}

#[cfg(test)]
mod tests;
