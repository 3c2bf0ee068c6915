//! The course of a run, second by second, and what scaling hints say meanwhile.

use std::time::Duration;

use qoe_core::endpoint::Endpoint;
use qoe_core::phase::Role;
use qoe_core::scale::{Capacity, DecodingSeen, Goal, PrefillSeen, Scaler};
use qoe_core::target::Target;

use crate::lab::outcome::Moment;
use crate::lab::world::replica::Replica;

/// Bounds of the replicas that are asked for.
const REPLICAS: (u32, u32) = (1, 64);

#[derive(Default)]
pub(super) struct Course {
    pub(super) moments: Vec<Moment>,
    prefill: Scaler,
    decoding: Scaler,
}

impl Course {
    /// Notes the second that is over.
    pub(super) fn note(
        &mut self,
        now: Duration,
        queued: u32,
        in_flight: u32,
        routers: &[Replica],
        target: Option<Target>,
    ) {
        let desired = target.map_or((0, 0), |target| self.desired(now, routers, target));
        self.moments.push(Moment { at: now.as_secs_f64(), queued, in_flight, desired });
    }

    fn desired(&mut self, now: Duration, routers: &[Replica], target: Target) -> (u32, u32) {
        let seen = |other: Role| -> Vec<&Endpoint> {
            let pools = routers.iter().flat_map(|router| router.pool.iter());
            pools.filter(|endpoint| endpoint.role != other).collect()
        };
        let (readers, writers) = (seen(Role::Decoding), seen(Role::Prefill));
        let routers = routers.len().max(1) as u32;
        let capacity = |endpoints: &[&Endpoint]| Capacity {
            ready: endpoints.len() as u32 / routers,
            pending: 0,
        };
        let goal = |target| Goal { target, min: REPLICAS.0, max: REPLICAS.1 };
        let speed = mean(readers.iter().filter_map(|e| e.state.signals.prefill_speed.get(now)));
        let prefill = PrefillSeen {
            unread_tokens: readers.iter().map(|e| e.state.ledger.unread() as f64).sum(),
            tokens_per_second: speed,
            prompt_tokens: None,
            ttft: None,
        };
        let decoding = DecodingSeen {
            kv_use: mean(writers.iter().filter_map(|e| e.state.signals.kv_use.get(now))),
            itl: mean(writers.iter().filter_map(|e| e.state.signals.itl.get(now))),
        };
        let prefill =
            self.prefill.prefill(Some(&prefill), capacity(&readers), goal(target.ttft), now);
        let decoding =
            self.decoding.decoding(Some(&decoding), capacity(&writers), goal(target.itl), now);
        (prefill.desired, decoding.desired)
    }
}

fn mean(known: impl Iterator<Item = qoe_core::estimate::average::Weighed>) -> Option<f64> {
    let (sum, count) = known.fold((0.0, 0_u32), |(sum, count), k| (sum + k.value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}
