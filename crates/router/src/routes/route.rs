//! One route, ready to serve.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qoe_core::admit::room::OnUnattainable;
use qoe_core::endpoint::pool::Pool;
use qoe_core::plan::policy::Policy;
use qoe_core::plan::scope::{HandoffRule, Scope, Tried};
use qoe_core::request::analyze::{Analysis, HeaderRules, Priority};
use qoe_core::target::Target;

use crate::routes::source::RouteSource;
use crate::routes::state::RouteState;

/// One route, ready to serve.
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// The models that clients ask for; empty: those that the endpoints serve.
    pub(crate) models: Vec<String>,
    pub(crate) pool: Pool,
    pub(crate) policy: Policy,
    pub(crate) handoff: HandoffRule,
    pub(crate) headers: HeaderRules,
    pub(crate) targets: Targets,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body_bytes: usize,
    /// The most requests in flight in this router; 0: no limit.
    pub(crate) max_in_flight: u32,
    /// The most requests that wait in this router's queue; 0: none waits.
    pub(crate) max_queued: u32,
    /// What happens to requests that cannot meet their target any more.
    pub(crate) on_unattainable: OnUnattainable,
    pub(crate) allow_admin_paths: Vec<String>,
    /// What outlives this configuration of the route.
    pub(crate) state: Arc<RouteState>,
    /// What the route was made from.
    pub(crate) source: Arc<RouteSource>,
}

/// The targets of requests, by priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    pub(crate) high: Target,
    pub(crate) medium: Target,
    pub(crate) low: Target,
}

/// The most time that each step at an endpoint may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) first_token: Duration,
    pub(crate) prefill: Duration,
    pub(crate) idle: Duration,
    pub(crate) answer: Duration,
}

impl Route {
    /// The target of one request: what its headers ask for, else that of its priority.
    pub(crate) fn target(&self, analysis: &Analysis) -> Target {
        let Target { ttft, itl } = match analysis.priority {
            Priority::High => self.targets.high,
            Priority::Medium => self.targets.medium,
            Priority::Low => self.targets.low,
        };
        Target {
            ttft: analysis.ttft_target.unwrap_or(ttft),
            itl: analysis.itl_target.unwrap_or(itl),
        }
    }

    /// What a plan for a request is made over, without the endpoints that were `tried` in vain for it.
    pub(crate) fn scope<'a>(&'a self, tried: &'a Tried, now: Duration) -> Scope<'a> {
        Scope {
            pool: &self.pool,
            policy: &self.policy,
            handoff: self.handoff,
            memory: &self.state.memory,
            tried,
            now,
        }
    }

    /// Whether requests that find no room wait in the queue: with a limit in flight, or a policy that forecasts.
    pub(crate) const fn queues(&self) -> bool {
        self.max_queued > 0
            && (self.max_in_flight > 0 || matches!(self.policy, Policy::Predictive(_)))
    }

    /// Counts one more request in flight; false, and not counted, where the limit is reached.
    pub(crate) fn enter(&self) -> bool {
        let most = if self.max_in_flight == 0 { u32::MAX } else { self.max_in_flight };
        let one_more = |before: u32| (before < most).then(|| before + 1);
        self.state.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}
