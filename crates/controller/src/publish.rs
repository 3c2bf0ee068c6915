//! The task that owns the index: it takes in what the watches see, and publishes when that is due.

use std::collections::HashSet;
use std::sync::Arc;

use qoe_discovery::Version;
use qoe_discovery::server::World;
use qoe_runtime::readiness::Guard;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::fold::{ChangeUrgency, Fold};
use crate::index::{Index, View};
use crate::metrics::Metrics;
use crate::pod::{Pod, PodFacts};
use crate::route::{RawRoute, key_of};
use crate::watch::{Event, KindEvent, ScopedEvent};

/// Events taken in between two looks at whether a publication is due.
const BATCH: usize = 512;

/// The kinds that are watched, for operators.
pub(crate) const PODS: &str = "pods";
pub(crate) const ROUTES: &str = "qoeroutes";

/// The owner of the index.
pub(crate) struct Publisher {
    index: Index,
    fold: Fold,
    metrics: Arc<Metrics>,
    epoch: Instant,
    /// First lists that are awaited before anything is published: kind and scope.
    missing: HashSet<(&'static str, Arc<str>)>,
    /// Dropped with the first publication.
    awaiting: Option<Guard>,
    /// A status changed: the view is to be renewed.
    seen_status: bool,
    world: watch::Sender<Option<Arc<World>>>,
    view: watch::Sender<Arc<View>>,
}

/// The receivers of publications.
pub(crate) struct Outlets {
    pub(crate) world: watch::Sender<Option<Arc<World>>>,
    pub(crate) view: watch::Sender<Arc<View>>,
}

impl Publisher {
    /// A publisher that publishes nothing before pods and routes were listed in all of `scopes`.
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

    /// Takes in events and publishes until the watches are gone.
    pub(crate) async fn run(mut self, mut events: mpsc::Receiver<ScopedEvent>) {
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
                taken = events.recv_many(&mut batch, BATCH) => {
                    if taken == 0 {
                        return;
                    }
                    for event in batch.drain(..) {
                        let urgency = self.take_in(event);
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

    fn take_in(&mut self, event: ScopedEvent) -> ChangeUrgency {
        match event.event {
            KindEvent::Pods(pods) => self.pods(&event.scope, pods),
            KindEvent::Routes(routes) => self.routes(&event.scope, routes),
        }
    }

    fn pods(&mut self, scope: &Arc<str>, event: Event<Pod>) -> ChangeUrgency {
        let (urgency, read) = match event {
            Event::Listed(pods, read) => {
                let mut urgency = ChangeUrgency::None;
                let mut there = HashSet::with_capacity(pods.len());
                for (namespace, facts) in pods.into_iter().filter_map(PodFacts::of) {
                    there.insert((namespace.clone(), Arc::clone(&facts.name)));
                    urgency = urgency.max(self.index.pod(&namespace, facts));
                }
                let gone = self.index.only_pods(scope, &there);
                (urgency.max(gone).max(self.listed(PODS, scope)), read)
            }
            Event::Applied(pod, read) => {
                let facts = PodFacts::of(pod);
                (facts.map_or(ChangeUrgency::None, |(at, facts)| self.index.pod(&at, facts)), read)
            }
            Event::Deleted(pod, read) => {
                let gone = |(at, facts): (String, PodFacts)| self.index.pod_gone(&at, &facts.name);
                (PodFacts::of(pod).map_or(ChangeUrgency::None, gone), read)
            }
            Event::Read(read) => (ChangeUrgency::None, read),
        };
        self.index.read_up_to(scope, &Version { pods: read, routes: 0 });
        urgency.max(ChangeUrgency::Late)
    }

    fn routes(&mut self, scope: &Arc<str>, event: Event<RawRoute>) -> ChangeUrgency {
        let (urgency, read) = match event {
            Event::Listed(routes, read) => {
                let there = routes.iter().filter_map(key_of).collect();
                let new = routes.into_iter().map(|route| self.route(route)).max();
                let gone = self.index.only_routes(scope, &there);
                (new.unwrap_or(ChangeUrgency::None).max(gone).max(self.listed(ROUTES, scope)), read)
            }
            Event::Applied(route, read) => (self.route(route), read),
            Event::Deleted(route, read) => {
                let gone = |key| self.index.route_gone(&key);
                (key_of(&route).map_or(ChangeUrgency::None, gone), read)
            }
            Event::Read(read) => (ChangeUrgency::None, read),
        };
        self.index.read_up_to(scope, &Version { pods: 0, routes: read });
        urgency.max(ChangeUrgency::Late)
    }

    fn route(&mut self, route: RawRoute) -> ChangeUrgency {
        let urgency = self.index.route(route);
        self.seen_status |= urgency == ChangeUrgency::None;
        urgency
    }

    /// A kind was listed in a scope. With the last of the first lists, everything can be published.
    fn listed(&mut self, kind: &'static str, scope: &Arc<str>) -> ChangeUrgency {
        let awaited = self.missing.remove(&(kind, Arc::clone(scope)));
        if awaited && self.missing.is_empty() { ChangeUrgency::Now } else { ChangeUrgency::Late }
    }
}

#[cfg(test)]
mod tests;
