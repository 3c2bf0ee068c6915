//! How many replicas each phase of each route needs, from what all routers report.

use std::collections::BTreeMap;
use std::time::Duration;

use qoe_api::ReplicaBounds;
use qoe_core::scale::{Capacity, Goal, Hint, Scaler};

use crate::index::View;
use crate::registry::{PhaseLoads, Registry};
use crate::route::{Route, RouteKey};
use crate::translate::Count;

/// The hints of one route.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Hints {
    pub(crate) prefill: Hint,
    pub(crate) decoding: Hint,
}

/// The hints of all routes, with their memory.
#[derive(Debug, Default)]
pub(crate) struct Scaling {
    scalers: BTreeMap<RouteKey, (Scaler, Scaler)>,
    hints: BTreeMap<RouteKey, Hints>,
}

impl Scaling {
    /// Looks at all routes; to be called every second or so.
    pub(crate) fn look(&mut self, view: &View, registry: &Registry, now: Duration) {
        self.scalers.retain(|key, _| view.routes.contains_key(key));
        self.hints.retain(|key, _| view.routes.contains_key(key));
        for (key, (route, outcome)) in &view.routes {
            let (Some(spec), Some(translation)) = (&route.spec, &outcome.translation) else {
                continue;
            };
            let seen = registry.seen(&key.to_string());
            let (prefill, decoding) =
                self.scalers.entry(key.clone()).or_insert_with(|| resumed(route));
            let millis = |ms: u32| Duration::from_millis(u64::from(ms));
            let bounds = &spec.autoscaling;
            let hints = Hints {
                prefill: prefill.prefill(
                    seen.as_ref().map(|PhaseLoads { prefill, .. }| prefill),
                    capacity(translation.prefill),
                    goal(millis(spec.slo.ttft_milliseconds), &bounds.prefill),
                    now,
                ),
                decoding: decoding.decoding(
                    seen.as_ref().map(|PhaseLoads { decoding, .. }| decoding),
                    capacity(translation.decoding),
                    goal(millis(spec.slo.itl_milliseconds), &bounds.decoding),
                    now,
                ),
            };
            self.hints.insert(key.clone(), hints);
        }
    }

    /// The hints of a route.
    pub(crate) fn of(&self, key: &RouteKey) -> Option<Hints> {
        self.hints.get(key).copied()
    }
}

/// A new leader goes on from what the last one wrote.
fn resumed(route: &Route) -> (Scaler, Scaler) {
    let phases = route.observed.phases.as_ref();
    let desired = |phase: fn(&qoe_api::crd::PhasesStatus) -> Option<u32>| phases.and_then(phase);
    (
        Scaler::resumed(desired(|phases| phases.prefill.desired_replicas)),
        Scaler::resumed(desired(|phases| phases.decoding.desired_replicas)),
    )
}

const fn capacity(count: Count) -> Capacity {
    Capacity { ready: count.ready, pending: count.total - count.ready }
}

const fn goal(target: Duration, bounds: &ReplicaBounds) -> Goal {
    Goal { target, min: bounds.min_replicas, max: bounds.max_replicas }
}

#[cfg(test)]
mod tests {
    use qoe_core::scale::ScaleReason;
    use qoe_discovery::proto::{DecodingLoad, Hello, PrefillLoad, RouteLoad};
    use qoe_discovery::server::Routers;
    use serde_json::{Value, json};
    use tokio::time::Instant;

    use super::*;
    use crate::index::Index;
    use crate::index::tests::{key, manifest, raw};
    use crate::pod::tests::{facts, ready};

    /// A route over `pods` prefill pods.
    fn view(manifest: Value, pods: u8) -> View {
        let mut index = Index::new("default");
        index.route(raw(manifest));
        for i in 0..pods {
            let labels = json!({"app": "vllm", "role": "prefill"});
            index.pod("llm", facts(ready(&format!("p{i}"), &format!("10.0.0.{i}"), labels)));
        }
        index.publish(Duration::ZERO).1
    }

    fn reported(unread_tokens: f64) -> Registry {
        let registry = Registry::new(Instant::now());
        registry.joined(1, &Hello { router: "a".to_owned(), ..Hello::default() });
        let prefill =
            PrefillLoad { unread_tokens, tokens_per_second: 10_000.0, ..PrefillLoad::default() };
        let (prefill, decoding) = (Some(prefill), Some(DecodingLoad::default()));
        registry.reported(1, vec![RouteLoad { route: "llm/r".to_owned(), prefill, decoding }]);
        registry
    }

    fn hint(desired: u32, reason: ScaleReason) -> Hint {
        Hint { desired, reason }
    }

    #[tokio::test(start_paused = true)]
    async fn what_routers_report_is_weighed_against_the_routes_own_promise_and_bounds() {
        let mut route = manifest("r", &[]);
        route["spec"]["slo"] = json!({"ttftMilliseconds": 1000});
        route["spec"]["autoscaling"] = json!({"prefill": {"minReplicas": 1, "maxReplicas": 5}});
        let view = view(route, 2);
        for (unread, wanted) in [
            (19_000.0, hint(2, ScaleReason::Steady)),
            (21_000.0, hint(3, ScaleReason::PromptBacklog)),
            (900_000.0, hint(5, ScaleReason::AtMaximum)),
        ] {
            let mut scaling = Scaling::default();
            scaling.look(&view, &reported(unread), Duration::ZERO);
            let Hints { prefill, decoding } = scaling.of(&key("r")).expect("it was looked at");
            assert_eq!(prefill, wanted, "{unread}");
            assert_eq!(decoding, hint(1, ScaleReason::NoData), "nobody tells of KV caches");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_leader_holds_what_the_last_one_wrote_until_routers_report() {
        let mut route = manifest("r", &[]);
        route["status"] = json!({"conditions": [], "phases": {
            "prefill": {"ready": 2, "total": 2, "desiredReplicas": 7},
            "decoding": {"ready": 0, "total": 0},
        }});
        let view = view(route, 2);
        let mut scaling = Scaling::default();
        scaling.look(&view, &Registry::new(Instant::now()), Duration::ZERO);
        let Hints { prefill, decoding } = scaling.of(&key("r")).expect("it was looked at");
        assert_eq!(
            (prefill, decoding),
            (hint(7, ScaleReason::NoData), hint(1, ScaleReason::NoData))
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_route_that_is_gone_has_no_hints() {
        let mut scaling = Scaling::default();
        scaling.look(&view(manifest("r", &[]), 1), &reported(0.0), Duration::ZERO);
        assert!(scaling.of(&key("r")).is_some());
        scaling.look(&view(manifest("s", &[]), 1), &reported(0.0), Duration::ZERO);
        assert!(scaling.of(&key("r")).is_none() && scaling.scalers.len() == 1);
    }
}
