//! The one who writes: status and events, with the lease only, and only what has changed.

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
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

use crate::events::{Publisher, Said};
use crate::hints::Scaling;
use crate::index::{RawRoute, Route, RouteKey, View};
use crate::lease::{Leadership, wall_clock};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::status::{Facts, status, verdicts};
use crate::watch::told_by_client;

/// How often everything is looked at.
const EVERY: Duration = Duration::from_secs(1);
/// Routers are not late before this.
const ANSWERS_WITHIN: Duration = Duration::from_secs(3);
/// Routers have found a new controller by then.
const CONNECT_WITHIN: Duration = Duration::from_secs(12);
/// Routes that are written at once.
const AT_ONCE: usize = 16;
/// One write must be over within this, and within the lease.
const WRITE_WITHIN: Duration = Duration::from_secs(3);
/// What was written is trusted to be there for so long, while the watch does not show it.
const TRUST_FOR: Duration = Duration::from_secs(10);
/// The name by which fields are owned.
const FIELD_MANAGER: &str = "qoe-controller";

/// Computes hints and status; writes them where this replica leads.
pub(crate) struct Writer {
    client: Client,
    events: Publisher,
    view: watch::Receiver<Arc<View>>,
    registry: Arc<Registry>,
    leadership: Leadership,
    metrics: Arc<Metrics>,
    epoch: Instant,
    scaling: Scaling,
    said: Said,
    written: HashMap<RouteKey, (QoERouteStatus, Duration)>,
    led: bool,
}

/// What a writer works with.
pub(crate) struct Parts {
    pub(crate) client: Client,
    pub(crate) identity: String,
    pub(crate) view: watch::Receiver<Arc<View>>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) leadership: Leadership,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) epoch: Instant,
}

impl Writer {
    pub(crate) fn new(parts: Parts) -> Self {
        let Parts { client, identity, view, registry, leadership, metrics, epoch } = parts;
        Self {
            events: Publisher::new(client.clone(), &identity),
            client,
            view,
            registry,
            leadership,
            metrics,
            epoch,
            scaling: Scaling::default(),
            said: Said::default(),
            written: HashMap::new(),
            led: false,
        }
    }

    /// Looks and writes for ever.
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
            let leads = self.leadership.left().is_some();
            self.metrics.leader.set(i64::from(leads));
            if leads && !self.led {
                // Another one may have written in the meantime.
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
        let mut news = Vec::new();
        for (key, (route, outcome)) in &view.routes {
            let name = key.to_string();
            let programmed = self.registry.programmed(&name, outcome.nonce);
            let facts = Facts {
                route,
                outcome,
                programmed: &programmed,
                fresh: now < CONNECT_WITHIN
                    || now.saturating_sub(outcome.published) < ANSWERS_WITHIN,
                hints: self.scaling.of(key),
            };
            let status = status(&facts, wall_clock());
            let findings = outcome.translation.as_ref().map(|t| &t.findings);
            for notice in self.said.news(key, route, &verdicts(&facts), findings) {
                news.push((key, route, notice));
            }
            if self.is_due(key, route, &status, now) {
                due.push((key, route, status));
            }
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
        for (key, route, notice) in news {
            if self.leadership.left().is_none() {
                return;
            }
            self.events.publish(key, route, notice).await;
        }
    }

    /// Whether a status differs from what is there, as far as is known.
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

    /// Writes a status, if there is time left to lead; true where there is no more to be done for now.
    fn patch(
        &self,
        key: &RouteKey,
        route: &Arc<Route>,
        status: QoERouteStatus,
    ) -> impl Future<Output = bool> + use<> {
        // The answer is not read as a route: some cannot be.
        let api: Api<RawRoute> = Api::namespaced(self.client.clone(), &key.namespace);
        let (key, leadership) = (key.clone(), self.leadership.clone());
        let metrics = Arc::clone(&self.metrics);
        let patch = json!({
            "apiVersion": API_VERSION,
            "kind": "QoERoute",
            // With what it is about: a leader that was asleep does not write over its successor.
            "metadata": {"name": key.name, "resourceVersion": route.resource_version},
            "status": status,
        });
        async move {
            let Some(left) = leadership.left() else { return false };
            let writing = async {
                let params = PatchParams::apply(FIELD_MANAGER).force();
                match api.patch_status(&key.name, &params, &Patch::Apply(&patch)).await {
                    // Nothing can be applied to an object whose spec has another shape than its definition says; but
                    // that must be told.
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
                // It changed under our hands; the watch will show it, and then it is written anew.
                Ok(Err(kube::Error::Api(status))) if matches!(status.code, 404 | 409) => false,
                Ok(Err(error)) => {
                    let why = told_by_client(&error);
                    tracing::warn!(route = %key, error = why, "cannot write a status");
                    // What is refused now is refused in a second too: there is time to wait.
                    matches!(&error, kube::Error::Api(status) if matches!(status.code, 403 | 422))
                }
                Err(_) => {
                    tracing::warn!(route = %key, "a status was not written in time");
                    false
                }
            }
        }
    }
}

/// Whether two statuses differ in no more than the times from which they hold.
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
