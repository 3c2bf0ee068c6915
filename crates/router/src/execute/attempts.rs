//! Carries out plans until one succeeds. What follows a failure is the fallback ladder's decision (`core::ladder`).
//!
//! A request waits for its turn once, before its first plan.

use std::rc::Rc;
use std::sync::Arc;

use qoe_core::ladder::blame::Sanctions;
use qoe_core::ladder::{self, Ladder, NextStep, RouteFacts};
use qoe_core::plan::choice::{Choice, Plan};
use qoe_core::plan::plan;
use qoe_core::plan::scope::Demand;

use crate::execute::call::Call;
use crate::execute::setback::{Answered, FailedPlan};
use crate::failure::Failure;
use crate::ticket::Ticket;
use crate::worker::Worker;

pub(super) struct Attempts<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) call: &'a Call,
    pub(super) ticket: &'a mut Ticket,
    ladder: Ladder,
}

impl<'a> Attempts<'a> {
    pub(super) fn new(worker: &'a Rc<Worker>, call: &'a Call, ticket: &'a mut Ticket) -> Self {
        let ladder = Ladder::pinned(call.pinned.clone());
        Self { worker, call, ticket, ladder }
    }

    pub(super) async fn run(&mut self) -> Result<Answered, Failure> {
        self.ticket.route().state.budget.earn();
        let mut admitted = if self.ticket.may_wait() { Some(self.admitted().await?) } else { None };
        let mut last = (!self.call.pinned.is_empty()).then_some(Failure::NoStoredResponse);
        loop {
            let next = admitted.take().or_else(|| self.plan().map(|choice| self.hold(choice)));
            let Some(Choice { plan, .. }) = next else {
                return Err(last.unwrap_or_else(|| self.no_endpoint()));
            };
            let failed = match self.carry_out(plan).await {
                Ok(answered) => {
                    ladder::answered(plan, &route_facts(self.ticket));
                    return Ok(answered);
                }
                Err(failed) => failed,
            };
            let (step, sanctions) =
                self.ladder.next(plan, failed.setback(), &route_facts(self.ticket));
            self.record(plan, &failed, sanctions);
            last = failed.into_failure().or(last);
            if step == NextStep::GiveUp {
                return Err(last.unwrap_or_else(|| self.no_endpoint()));
            }
        }
    }

    /// The next plan, over what the ladder leaves.
    pub(super) fn plan(&mut self) -> Option<Choice> {
        let ticket = &*self.ticket;
        let route = ticket.route();
        let rng = &self.worker.rng;
        self.ladder.choose(|tried, whole| {
            let demand = ticket.asked().demand(route, ticket.waited());
            let demand = Demand { whole: demand.whole.or(whole), ..demand };
            plan(&route.scope(tried, ticket.now()), &demand, &mut *rng.borrow_mut())
        })
    }

    /// Holds the endpoints of the plan: it is carried out from now on.
    pub(super) fn hold(&mut self, choice: Choice) -> Choice {
        let route = Arc::clone(self.ticket.route());
        let state = |i: usize| &route.pool[i].state;
        let prefill = match choice.plan {
            Plan::Local { .. } => None,
            Plan::Handoff { prefill, .. } => Some(state(prefill)),
        };
        let why = (choice.reason, choice.forecast);
        self.ticket.planned(why, prefill, state(choice.plan.answering()));
        choice
    }

    pub(super) fn no_endpoint(&self) -> Failure {
        Failure::NoEndpoint { route: self.ticket.route().name.to_string() }
    }

    async fn carry_out(&mut self, plan: Plan) -> Result<Answered, FailedPlan> {
        match plan {
            Plan::Local { endpoint } => self.local(endpoint).await,
            Plan::Handoff { prefill, decoding } => self.handoff(prefill, decoding).await,
        }
    }

    /// Counts and logs a failed plan, and what follows for its endpoints.
    fn record(&self, plan: Plan, failed: &FailedPlan, sanctions: Sanctions) {
        if let FailedPlan::Leg(failure) = failed {
            self.record_leg(failure, failed, sanctions);
        }
        let (Plan::Handoff { prefill, .. }, Some(time)) = (plan, sanctions.kv_distrusted) else {
            return;
        };
        let route = self.ticket.route();
        let why = match failed {
            FailedPlan::NoKvParams(incomplete) => incomplete.to_string(),
            _ => "KV caches handed off from it failed to load several times in a row".to_owned(),
        };
        tracing::warn!(
            route = %route.name,
            endpoint = %route.pool[prefill].state.name,
            for_s = time.as_secs(),
            %why,
            "no handoffs from this endpoint for a while"
        );
    }

    fn record_leg(&self, failure: &Failure, failed: &FailedPlan, sanctions: Sanctions) {
        let (Failure::Upstream { route, phase, endpoint, .. }
        | Failure::Answered { route, phase, endpoint, .. }) = failure
        else {
            return;
        };
        let setback = failed.setback();
        if setback.is_final() {
            return; // The client's error says nothing of the endpoint.
        }
        let metrics = &self.ticket.route().state.metrics;
        metrics.attempt_failed(endpoint, *phase, failure.kind());
        if setback.is_ill() {
            let ejected_for = sanctions.ejected.map(|time| time.as_secs());
            tracing::warn!(%route, %endpoint, phase = phase.as_str(), %failure, ejected_for, "an endpoint failed");
        }
    }
}

/// What the ladder needs to know of the ticket's route.
fn route_facts(ticket: &Ticket) -> RouteFacts<'_> {
    let route = ticket.route();
    RouteFacts { pool: &route.pool, budget: &route.state.budget, now: ticket.now() }
}
