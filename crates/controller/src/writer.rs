//! Writes status and events: only with the lease, only what has changed, and only while the cluster can be read.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{self, StreamExt};
use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use qoe_api::API_VERSION;
use qoe_api::crd::QoERouteStatus;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::events::{EventQueue, EventWriter, Said};
use crate::hints::Scaling;
use crate::index::View;
use crate::kube_client::explain;
use crate::lease::{Leadership, wall_clock};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::route::{RawRoute, Route, RouteKey};
use crate::sight::Outage;
use crate::status::{Facts, status, verdicts};

/// How often hints, gauges and statuses are computed.
const EVERY: Duration = Duration::from_secs(1);
/// Routers have answered a new state by then.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// Routers have found a controller this long after it became ready: they resolve its name every 5 s.
const CONNECT_WITHIN: Duration = Duration::from_secs(12);
/// Statuses written concurrently.
const AT_ONCE: usize = 16;
/// A write must be over within this, and before the lease is.
const WRITE_WITHIN: Duration = Duration::from_secs(3);
/// A status that was written is not written again for this long, while the watch does not show it yet.
const TRUST_FOR: Duration = Duration::from_secs(10);
/// The field manager of server-side apply.
const FIELD_MANAGER: &str = "qoe-controller";

/// Computes hints and statuses, and writes them while this replica leads.
pub(crate) struct Writer {
    client: Client,
    events: EventQueue,
    /// Ends with this writer.
    _event_writer: JoinSet<()>,
    view: watch::Receiver<Arc<View>>,
    registry: Arc<Registry>,
    leadership: Leadership,
    outage: watch::Receiver<Outage>,
    /// Since when the cluster can be read without a break; `None` during an outage.
    readable_since: Option<Duration>,
    metrics: Arc<Metrics>,
    epoch: Instant,
    scaling: Scaling,
    said: Said,
    written: HashMap<RouteKey, (QoERouteStatus, Duration)>,
    led: bool,
}

/// What a writer is made of.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) identity: String,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) outage: watch::Receiver<Outage>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) leadership: Leadership,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) epoch: Instant,
}

impl Writer {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { client, identity, view, outage, registry, leadership, metrics, epoch } = parts;
        let (events, writer) =
            EventWriter::new(client.clone(), &identity, leadership.clone(), &metrics);
        let mut event_writer = JoinSet::new();
        event_writer.spawn(writer.run());
        Self {
            events,
            _event_writer: event_writer,
            client,
            view,
            registry,
            leadership,
            outage,
            readable_since: None,
            metrics,
            epoch,
            scaling: Scaling::default(),
            said: Said::default(),
            written: HashMap::new(),
            led: false,
        }
    }

    /// Computes and writes for ever.
    pub(crate) async fn run(mut self) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            self.registry.forget();
            let view = Arc::clone(&self.view.borrow());
            let now = self.epoch.elapsed();
            self.scaling.look(&view, &self.registry, now);
            self.metrics.looked(&view, &self.scaling, self.registry.count());
            self.readable_since = match &*self.outage.borrow() {
                Some(_) => None,
                None => Some(self.readable_since.unwrap_or(now)),
            };
            // A status by what was read before an outage would claim what nobody knows.
            let leads = self.leadership.left().is_some() && self.readable_since.is_some();
            self.metrics.leader.set(i64::from(leads));
            if leads && !self.led {
                // Another leader may have written in the meantime.
                self.written.clear();
                self.said = Said::default();
            }
            self.led = leads;
            if leads {
                self.write(&view, now).await;
            }
        }
    }

    async fn write(&mut self, view: &View, now: Duration) {
        self.written.retain(|key, _| view.routes.contains_key(key));
        self.said.retain(|key| view.routes.contains_key(key));
        let mut due = Vec::new();
        let mut delayed_events = 0;
        for (key, (route, outcome)) in &view.routes {
            let name = key.to_string();
            let programmed = self.registry.programmed(&name, outcome.nonce);
            let facts = Facts {
                route,
                outcome,
                programmed: &programmed,
                fresh: self.readable_since.is_none_or(|since| now < since + CONNECT_WITHIN)
                    || now.saturating_sub(outcome.published) < ANSWERS_WITHIN,
                hints: self.scaling.of(key),
            };
            let status = status(&facts, wall_clock());
            let findings = outcome.translation.as_ref().map(|t| &t.findings);
            for notice in self.said.news(key, route, &verdicts(&facts), findings) {
                if !self.events.add(key, route, &notice) {
                    self.said.unsay(key, &notice);
                    delayed_events += 1;
                }
            }
            if self.is_due(key, route, &status, now) {
                due.push((key, route, status));
            }
        }
        if delayed_events > 0 {
            tracing::info!(delayed_events, "too many events wait: the others are offered again");
        }
        let mut writes = Vec::with_capacity(due.len());
        for (key, route, status) in due {
            let (key, write) = (key.clone(), self.patch(key, route, status.clone()));
            writes.push(async move { write.await.then_some((key, status)) });
        }
        let done: Vec<_> = stream::iter(writes).buffer_unordered(AT_ONCE).collect().await;
        for (key, status) in done.into_iter().flatten() {
            self.written.insert(key, (status, now));
        }
    }

    /// Whether a status differs from the one in the cluster, as far as is known.
    fn is_due(
        &self,
        key: &RouteKey,
        route: &Route,
        status: &QoERouteStatus,
        now: Duration,
    ) -> bool {
        if *status == route.observed {
            return false;
        }
        match self.written.get(key) {
            Some((written, at)) => {
                !says_the_same(written, status) || now.saturating_sub(*at) > TRUST_FOR
            }
            None => true,
        }
    }

    /// Writes a status, if the lease is still held. True: it needs no further attempt for now.
    fn patch(
        &self,
        key: &RouteKey,
        route: &Arc<Route>,
        status: QoERouteStatus,
    ) -> impl Future<Output = bool> + use<> {
        // The answer is not parsed as a route: of an invalid one it could not be.
        let api: Api<RawRoute> = Api::namespaced(self.client.clone(), &key.namespace);
        let (key, leadership) = (key.clone(), self.leadership.clone());
        let metrics = Arc::clone(&self.metrics);
        let patch = json!({
            "apiVersion": API_VERSION,
            "kind": "QoERoute",
            // With the version it is about, so that a leader that was asleep does not overwrite its successor's status.
            "metadata": {"name": key.name, "resourceVersion": route.resource_version},
            "status": status,
        });
        async move {
            let Some(left) = leadership.left() else { return false };
            let writing = async {
                let params = PatchParams::apply(FIELD_MANAGER).force();
                match api.patch_status(&key.name, &params, &Patch::Apply(&patch)).await {
                    // Server-side apply fails on an object whose spec does not fit the definition; but just that is what
                    // its status has to say.
                    Err(kube::Error::Api(status)) if status.code == 500 => {
                        let params = PatchParams::default();
                        api.patch_status(&key.name, &params, &Patch::Merge(&patch)).await
                    }
                    answer => answer,
                }
            };
            match timeout(left.min(WRITE_WITHIN), writing).await {
                Ok(Ok(_)) => {
                    metrics.status_writes.inc();
                    true
                }
                // The route changed in between: the watch will show it, and its status is then computed anew.
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => false,
                Ok(Err(error)) => {
                    let why = explain(&error);
                    tracing::warn!(route = %key, error = why, "cannot write a status");
                    // A permission that is missing now is missing in a second too: try again after TRUST_FOR.
                    matches!(&error, kube::Error::Api(status) if matches!(status.code, 403 | 422))
                }
                Err(_) => {
                    tracing::warn!(route = %key, "a status was not written in time; it is tried again");
                    false
                }
            }
        }
    }
}

/// Whether two statuses differ in no more than the transition times of their conditions.
fn says_the_same(one: &QoERouteStatus, other: &QoERouteStatus) -> bool {
    let timeless = |status: &QoERouteStatus| {
        let mut status = status.clone();
        for condition in &mut status.conditions {
            condition.last_transition_time = Time(Timestamp::UNIX_EPOCH);
        }
        status
    };
    timeless(one) == timeless(other)
}

#[cfg(test)]
mod tests;
