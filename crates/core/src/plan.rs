//! The plan for one request: the endpoints that serve it, whether prefill and decoding are disaggregated, and why.
//!
//! [`predictive`] compares whole plans. For all other policies, filters drop the endpoints that cannot serve the
//! request, and the route's [`Policy`] picks among the rest. Pools fall back in one fixed order, so that every request
//! that could be served is: the phase's own endpoints, then mixed ones, then any.
//!
//! Must not know: how a plan is carried out, or what happens when it fails.

pub mod choice;
pub mod forecast;
pub mod occasion;
pub mod policy;
pub mod predictive;
pub mod reason;
pub mod rules;
pub mod scope;
pub mod weighted;

use rand::Rng;

use crate::plan::choice::{Choice, Plan};
use crate::plan::policy::Policy;
use crate::plan::reason::Reason;
use crate::plan::rules::{Chooser, usable};
use crate::plan::scope::{Demand, Scope};

/// Plans one request. `None` if no endpoint can be used.
pub fn plan(scope: &Scope<'_>, demand: &Demand<'_>, rng: &mut impl Rng) -> Option<Choice> {
    let policy = match *scope.policy {
        Policy::Predictive(rules) => return predictive::choose(scope, demand, rules, rng),
        Policy::Endpoint(policy) => policy,
    };
    let usable = usable(scope, demand.model);
    if usable.is_empty() {
        return None;
    }
    let held = scope.held(demand, 0..scope.pool.len());
    let mut chooser = Chooser { scope, demand, policy, usable: &usable, held, rng };
    let (plan, reason) = match chooser.handoff() {
        Ok((prefill, decoding)) => (Plan::Handoff { prefill, decoding }, Reason::PrefillPhase),
        Err(reason) => (Plan::Local { endpoint: chooser.local(reason)? }, reason),
    };
    Some(Choice { plan, reason, forecast: None })
}

#[cfg(test)]
mod tests;
