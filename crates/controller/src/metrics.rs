//! The metrics of the controller. Labels are enums, or names of routes.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use qoe_core::scale::{Hint, ScaleReason};
use qoe_discovery::server::World;

use crate::hints::Scaling;
use crate::index::View;
use crate::translate::Count;

type Labels<const N: usize> = [(&'static str, Cow<'static, str>); N];

/// Buckets in seconds: 1,000 pods take about 1 ms, 10,000 about 10 ms.
const SECONDS: [f64; 8] = [0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 1.0];

/// All metrics of the controller.
pub(crate) struct Metrics {
    desired: Family<Labels<2>, Gauge>,
    hints: Family<Labels<3>, Gauge>,
    ready: Family<Labels<2>, Gauge>,
    total: Family<Labels<2>, Gauge>,
    routes: Gauge,
    pods: Gauge,
    routers: Gauge,
    snapshot_bytes: Gauge,
    publications: Counter,
    translation: Histogram,
    watch_failures: Family<Labels<1>, Counter>,
    memory: Gauge<f64, AtomicU64>,
    pub(crate) status_writes: Counter,
    pub(crate) leader: Gauge,
    pub(crate) cluster_readable: Gauge,
    pub(crate) events_dropped: Counter,
    /// Routes that have series. A series is removed with its route.
    known: Mutex<HashSet<String>>,
}

impl Metrics {
    /// Makes the metrics and registers them under the prefix `qoe_controller_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("qoe_controller");
        let metrics = Self {
            desired: Family::default(),
            hints: Family::default(),
            ready: Family::default(),
            total: Family::default(),
            routes: Gauge::default(),
            pods: Gauge::default(),
            routers: Gauge::default(),
            snapshot_bytes: Gauge::default(),
            publications: Counter::default(),
            translation: Histogram::new(SECONDS),
            watch_failures: Family::default(),
            memory: Gauge::default(),
            status_writes: Counter::default(),
            leader: Gauge::default(),
            cluster_readable: Gauge::default(),
            events_dropped: Counter::default(),
            known: Mutex::default(),
        };
        r.register("desired_replicas", "Recommended replicas of a phase", metrics.desired.clone());
        let help = "1 for the reason of a phase's current recommendation";
        r.register("scaling_reason", help, metrics.hints.clone());
        r.register("endpoints_ready", "Ready endpoints of a phase", metrics.ready.clone());
        r.register("endpoints", "Endpoints of a phase, ready or not", metrics.total.clone());
        r.register("routes", "QoERoutes of this class", metrics.routes.clone());
        r.register("pods", "Pods watched", metrics.pods.clone());
        r.register(
            "routers",
            "Routers connected to this replica, or gone for less than 10 s",
            metrics.routers.clone(),
        );
        let help = "Size of the states of all routes";
        r.register_with_unit("snapshots", help, Unit::Bytes, metrics.snapshot_bytes.clone());
        r.register(
            "publications",
            "Publications of changed states to routers",
            metrics.publications.clone(),
        );
        let help = "Time to translate changes into states of routes";
        r.register_with_unit("translation", help, Unit::Seconds, metrics.translation.clone());
        r.register(
            "watch_failures",
            "Failed watch requests, by kind",
            metrics.watch_failures.clone(),
        );
        let help = "Resident memory of the process";
        r.register_with_unit("resident_memory", help, Unit::Bytes, metrics.memory.clone());
        r.register("status_writes", "Route statuses written", metrics.status_writes.clone());
        r.register("leader", "1 if this replica writes status and events", metrics.leader.clone());
        let help = "1 while this replica can read the cluster; at 0 it serves no router";
        r.register("cluster_readable", help, metrics.cluster_readable.clone());
        let help = "Events that were not written because the lease was lost";
        r.register("events_dropped", help, metrics.events_dropped.clone());
        metrics
    }

    /// Counts the failures of the watches of one kind.
    pub(crate) fn watch_failures(&self, kind: &'static str) -> Counter {
        self.watch_failures.get_or_create_owned(&[("kind", kind.into())])
    }

    /// Records a publication.
    pub(crate) fn published(&self, world: &World, view: &View, took: Duration) {
        self.publications.inc();
        self.translation.observe(took.as_secs_f64());
        let bytes = world.routes.values().filter_map(|state| state.body.as_ref());
        self.snapshot_bytes.set(count(bytes.map(|bytes| bytes.len()).sum()));
        self.routes.set(count(view.routes.len()));
        self.pods.set(count(view.pods));
    }

    /// Updates the gauges of all routes. Called every second.
    pub(crate) fn looked(&self, view: &View, scaling: &Scaling, routers: usize) {
        self.routers.set(count(routers));
        self.memory.set(resident_bytes());
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now: HashSet<String> = view.routes.keys().map(ToString::to_string).collect();
        for gone in known.difference(&now) {
            self.forget(gone);
        }
        *known = now;
        drop(known);
        for (key, (_, outcome)) in &view.routes {
            let name = key.to_string();
            let hints = scaling.of(key);
            let counts = outcome.translation.as_ref();
            self.phase(&name, "prefill", counts.map(|t| t.prefill), hints.map(|h| h.prefill));
            self.phase(&name, "decoding", counts.map(|t| t.decoding), hints.map(|h| h.decoding));
        }
    }

    fn phase(&self, route: &str, phase: &'static str, found: Option<Count>, hint: Option<Hint>) {
        let labels = of(route, phase);
        if let Some(found) = found {
            self.ready.get_or_create(&labels).set(i64::from(found.ready));
            self.total.get_or_create(&labels).set(i64::from(found.total));
        }
        if let Some(hint) = hint {
            self.desired.get_or_create(&labels).set(i64::from(hint.desired));
            for reason in REASONS {
                let [route, phase] = labels.clone();
                let series = [route, phase, ("reason", reason.into())];
                if reason == hint.reason.as_str() {
                    self.hints.get_or_create(&series).set(1);
                } else {
                    self.hints.remove(&series);
                }
            }
        }
    }

    fn forget(&self, route: &str) {
        for phase in ["prefill", "decoding"] {
            let labels = of(route, phase);
            self.ready.remove(&labels);
            self.total.remove(&labels);
            self.desired.remove(&labels);
            for reason in REASONS {
                let [route, phase] = labels.clone();
                self.hints.remove(&[route, phase, ("reason", reason.into())]);
            }
        }
    }
}

/// Every reason of a hint.
const REASONS: [&str; 9] = [
    ScaleReason::Steady.as_str(),
    ScaleReason::PromptBacklog.as_str(),
    ScaleReason::KvPressure.as_str(),
    ScaleReason::TtftAboveTarget.as_str(),
    ScaleReason::ItlAboveTarget.as_str(),
    ScaleReason::Underused.as_str(),
    ScaleReason::CoolingDown.as_str(),
    ScaleReason::NoData.as_str(),
    ScaleReason::AtMaximum.as_str(),
];

fn of(route: &str, phase: &'static str) -> Labels<2> {
    [("route", route.to_owned().into()), ("phase", phase.into())]
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

/// The resident set, as Linux counts it; 0 where it does not say.
fn resident_bytes() -> f64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap_or_default();
    let pages: f64 = statm.split(' ').nth(1).and_then(|pages| pages.parse().ok()).unwrap_or(0.0);
    pages * 4096.0
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;
    use serde_json::json;
    use tokio::time::Instant;

    use super::*;
    use crate::index::Index;
    use crate::index::tests::{key, manifest, raw};
    use crate::pod::tests::{facts, ready};
    use crate::registry::Registry as Routers;

    /// The lines that speak of a route.
    fn lines(registry: &Registry, route: &str) -> Vec<String> {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        let of_route = |line: &&str| line.contains(&format!("route=\"llm/{route}\""));
        text.lines().filter(of_route).map(str::to_owned).collect()
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_has_series_as_long_as_it_is_there() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        let mut index = Index::new("default");
        index.route(raw(manifest("r", &[])));
        index.route(raw(manifest("s", &[])));
        let labels = json!({"app": "vllm", "role": "prefill"});
        index.pod("llm", facts(ready("p", "10.0.0.1", labels)));
        let look = |index: &mut Index| {
            let (_, view) = index.publish(Duration::ZERO);
            let mut scaling = Scaling::default();
            scaling.look(&view, &Routers::new(Instant::now()), Duration::ZERO);
            metrics.looked(&view, &scaling, 3);
        };
        look(&mut index);
        let told = lines(&registry, "r");
        for wanted in [
            r#"qoe_controller_endpoints_ready{route="llm/r",phase="prefill"} 1"#,
            r#"qoe_controller_endpoints{route="llm/r",phase="decoding"} 0"#,
            r#"qoe_controller_desired_replicas{route="llm/r",phase="prefill"} 1"#,
            r#"qoe_controller_scaling_reason{route="llm/r",phase="prefill",reason="NoData"} 1"#,
        ] {
            assert!(told.iter().any(|line| line == wanted), "{wanted} in {told:#?}");
        }
        let reasons = told.iter().filter(|line| line.contains("scaling_reason")).count();
        assert_eq!(reasons, 2, "one for each phase: {told:#?}");
        index.route_gone(&key("r"));
        look(&mut index);
        assert_eq!(lines(&registry, "r"), Vec::<String>::new());
        assert_eq!(lines(&registry, "s").len(), told.len());
    }
}
