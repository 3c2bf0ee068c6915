//! What the router will do with one request: whom it goes to, whether its phases are parted, and why.
//!
//! Filters drop what is impossible, the route's [`Policy`] picks among the rest. Pools fall back in one fixed
//! order, so that nothing is refused that could be served: the phase's own endpoints, then mixed ones, then any.

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

/// Makes the plan. `None`: there is no usable endpoint at all.
pub fn plan(scope: &Scope<'_>, demand: &Demand<'_>, rng: &mut impl Rng) -> Option<Choice> {
    if let Policy::Predictive(rules) = scope.policy {
        return predictive::choose(scope, demand, *rules, rng);
    }
    let usable = usable(scope, demand.model);
    if usable.is_empty() {
        return None;
    }
    let held = scope.held(demand, 0..scope.pool.len());
    let mut chooser = Chooser { scope, demand, usable: &usable, held, rng };
    let (plan, reason) = match chooser.handoff() {
        Ok((prefill, decoding)) => (Plan::Handoff { prefill, decoding }, Reason::PrefillPhase),
        Err(reason) => (Plan::Local { endpoint: chooser.local(reason)? }, reason),
    };
    Some(Choice { plan, reason, forecast: None })
}

#[cfg(test)]
mod tests;
