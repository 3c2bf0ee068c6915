//! How many replicas each phase of each route needs, from what all routers report.

use std::collections::BTreeMap;
use std::time::Duration;

use qoe_api::ReplicaBounds;
use qoe_core::scale::{Capacity, Goal, Hint, Scaler};

use crate::index::{Route, RouteKey, View};
use crate::registry::{Registry, Seen};
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
                    seen.as_ref().map(|Seen { prefill, .. }| prefill),
                    capacity(translation.prefill),
                    goal(millis(spec.slo.ttft_milliseconds), &bounds.prefill),
                    now,
                ),
                decoding: decoding.decoding(
                    seen.as_ref().map(|Seen { decoding, .. }| decoding),
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
