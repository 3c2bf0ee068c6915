//! The fallback ladder of one request: what follows when a plan fails before the first byte of its answer.
//!
//! Prefill fails → another prefill endpoint → one endpoint serves the request whole. The answering leg fails → another
//! endpoint serves it whole. An extra attempt spends the route's retry budget; a client's error is final. A request
//! that only some endpoints can serve tries these in turn.
//!
//! The ladder neither plans nor sends. Whoever drives it carries out what [`Ladder::choose`] returns, reports the
//! [`Setback`] to [`Ladder::next`], and does what the [`NextStep`] says; the evidence against endpoints is recorded on the
//! way. Must not know: HTTP, or what a failure looks like to a client.

pub mod blame;
pub mod setback;

use std::time::Duration;

use crate::endpoint::pool::Pool;
use crate::ladder::blame::{Blame, Sanctions};
use crate::ladder::setback::Setback;
use crate::memory::budget::Budget;
use crate::phase::Role;
use crate::plan::choice::{Choice, Plan};
use crate::plan::reason::Reason;
use crate::plan::scope::Tried;

/// Where one request stands on its fallback ladder.
#[derive(Debug, Default)]
pub struct Ladder {
    candidates: Candidates,
    tried: Tried,
    /// Why no handoff is planned any more.
    whole: Option<Reason>,
}

/// Which endpoints may serve the request.
#[derive(Debug, Default)]
enum Candidates {
    /// Those that the planner chooses from.
    #[default]
    Planned,
    /// Only these, in this order, from `at` on: one of them has what the request refers to.
    Pinned { endpoints: Vec<usize>, at: usize },
}

/// What the driver of a ladder does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextStep {
    /// Choose and carry out another plan. If none is left, the client gets the last failure.
    PlanAgain,
    /// The client gets this failure.
    GiveUp,
}

/// The state of the route that the next step depends on.
#[derive(Clone, Copy, Debug)]
pub struct RouteFacts<'a> {
    /// The route's endpoints, the same for all attempts of one request.
    pub pool: &'a Pool,
    /// What pays for further attempts.
    pub budget: &'a Budget,
    /// Time since the process's epoch.
    pub now: Duration,
}

impl Ladder {
    /// The ladder of a request that only these endpoints, as indices into the pool, can serve. Empty: any endpoint can.
    #[must_use]
    pub fn pinned(endpoints: Vec<usize>) -> Self {
        let candidates = match endpoints.is_empty() {
            true => Candidates::Planned,
            false => Candidates::Pinned { endpoints, at: 0 },
        };
        Self { candidates, ..Self::default() }
    }

    /// The next choice: the next pinned endpoint, or what `plan` makes of the endpoints that are left, given the
    /// reason why the request must be served whole by now. `None`: nothing is left to try. Asked again before a
    /// setback, it chooses from the same.
    pub fn choose(
        &self,
        plan: impl FnOnce(&Tried, Option<Reason>) -> Option<Choice>,
    ) -> Option<Choice> {
        match &self.candidates {
            Candidates::Planned => plan(&self.tried, self.whole),
            Candidates::Pinned { endpoints, at } => endpoints.get(*at).map(|&endpoint| Choice {
                plan: Plan::Local { endpoint },
                reason: Reason::StoredResponse,
                forecast: None,
            }),
        }
    }

    /// Records the setback of `plan` against its endpoints, and decides what comes next.
    pub fn next(
        &mut self,
        plan: Plan,
        setback: Setback,
        facts: &RouteFacts<'_>,
    ) -> (NextStep, Sanctions) {
        // First, as an endpoint that this setback ejects is no alternative.
        let sanctions = Blame::of(plan, setback).apply(facts.pool, facts.now);
        let step = match &mut self.candidates {
            Candidates::Planned => self.fall_back(plan, setback, facts),
            Candidates::Pinned { endpoints, at } => {
                *at += 1;
                after_pinned(endpoints.len().saturating_sub(*at), setback, facts)
            }
        };
        (step, sanctions)
    }

    fn fall_back(&mut self, plan: Plan, setback: Setback, facts: &RouteFacts<'_>) -> NextStep {
        match (setback, plan) {
            (Setback::NoConnector, _) => self.serve_whole(Reason::NoPair),
            (Setback::NoKvParams, _) => self.serve_whole(Reason::KvParamsMissing),
            _ if setback.is_final() => NextStep::GiveUp,
            (Setback::Prefill(_), Plan::Handoff { prefill, .. }) => {
                self.tried.prefill.push(prefill);
                // Without another prefill endpoint, or budget for it, the request is served whole. That is no extra
                // attempt: the decoding endpoint has not been asked yet.
                match self.has_another_prefill(facts) && facts.budget.spend(facts.now) {
                    true => NextStep::PlanAgain,
                    false => self.serve_whole(Reason::PrefillFailed),
                }
            }
            (Setback::Prefill(_) | Setback::Answer(_), plan) => {
                self.tried.endpoints.push(plan.answering());
                if let Plan::Handoff { .. } = plan {
                    // Whichever of the two is at fault, the next attempt needs no KV cache of another endpoint.
                    self.whole = Some(Reason::HandoffFailed);
                }
                another_attempt(facts)
            }
        }
    }

    const fn serve_whole(&mut self, reason: Reason) -> NextStep {
        self.whole = Some(reason);
        NextStep::PlanAgain
    }

    /// Whether a prefill endpoint is left that was not tried and is not ejected.
    fn has_another_prefill(&self, facts: &RouteFacts<'_>) -> bool {
        facts.pool.of_role(Role::Prefill).iter().any(|i| {
            !self.tried.prefill.contains(i) && !facts.pool[*i].state.health.ejected(facts.now)
        })
    }
}

/// What comes after a pinned endpoint when `left` are left. Only the one that knows what the request refers to can
/// answer 404 to something that exists: 404 sends the request on.
fn after_pinned(left: usize, setback: Setback, facts: &RouteFacts<'_>) -> NextStep {
    match setback.is_final() && !setback.is_not_found() {
        true => NextStep::GiveUp,
        false if left == 0 => NextStep::GiveUp,
        false => another_attempt(facts),
    }
}

fn another_attempt(facts: &RouteFacts<'_>) -> NextStep {
    match facts.budget.spend(facts.now) {
        true => NextStep::PlanAgain,
        false => NextStep::GiveUp,
    }
}

/// Records that the answer of `plan` has begun: a KV cache that was handed over was loaded.
pub fn answered(plan: Plan, facts: &RouteFacts<'_>) {
    Blame::of_answered(plan).apply(facts.pool, facts.now);
}

#[cfg(test)]
mod tests;
