//! Carrying out plans until one succeeds: the fallback ladder. Nothing is lost that could be served.
//!
//! Prefill fails → another prefill endpoint → whole on a decoding endpoint. Decoding fails before the first byte →
//! whole on another. A request waits for its turn once, before its first plan. Further attempts spend the route's retry budget; what an endpoint answered with 4xx is final, but
//! for 429.

use std::rc::Rc;
use std::sync::Arc;

use http::StatusCode;
use qoe_core::plan::choice::{Choice, Plan};
use qoe_core::plan::plan;
use qoe_core::plan::reason::Reason;
use qoe_core::plan::scope::{Demand, Scope, Tried};
use qoe_core::request::analyze::WholeReason;

use crate::execute::call::Call;
pub(crate) use crate::execute::setback::{Answered, Setback};
use crate::failure::Failure;
use crate::ticket::Ticket;
use crate::worker::Worker;

pub(super) struct Attempts<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) call: &'a Call,
    pub(super) ticket: &'a mut Ticket,
    pub(super) tried: Tried,
    /// Why no handoff is made any more.
    pub(super) whole: Option<Reason>,
}

impl Attempts<'_> {
    pub(crate) async fn run(&mut self) -> Result<Answered, Failure> {
        self.ticket.route().state.budget.earn();
        if !self.call.pinned.is_empty() {
            return self.pinned().await;
        }
        let mut first = if self.ticket.may_wait() { Some(self.admitted().await?) } else { None };
        let mut last = None;
        loop {
            let choice = match first.take() {
                Some(choice) => choice,
                None => match self.plan() {
                    Some(choice) => self.hold(choice),
                    None => return Err(last.unwrap_or_else(|| self.no_endpoint())),
                },
            };
            let setback = match choice.plan {
                Plan::Local { endpoint } => self.local(endpoint).await,
                Plan::Handoff { prefill, decoding } => self.handoff(prefill, decoding).await,
            };
            match setback {
                Ok(answered) => return Ok(answered),
                Err(Setback::Final(failure)) => return Err(failure),
                Err(Setback::Whole(reason)) => self.whole = Some(reason),
                Err(Setback::Replan(failure)) => last = Some(failure),
                Err(Setback::Another(failure)) if self.may_try_again() => last = Some(failure),
                Err(Setback::Another(failure)) => return Err(failure),
            }
        }
    }

    /// The next plan, over what was not tried in vain.
    pub(super) fn plan(&self) -> Option<Choice> {
        let route = self.ticket.route();
        let asked = self.ticket.asked();
        let one = self.call.generate.is_none().then_some(Reason::Whole(WholeReason::OtherApi));
        let demand = Demand {
            model: asked.analysis.model.as_deref(),
            phase: asked.analysis.phase,
            prompt_tokens: asked.prompt_tokens,
            expected_output_tokens: asked.analysis.expected_output_tokens,
            output_tokens: asked.output_tokens,
            blocks: &asked.blocks,
            block_tokens: asked.block_tokens,
            target: route.target(&asked.analysis),
            waited: self.ticket.waited(),
            whole: one.or(asked.analysis.whole.map(Reason::Whole)).or(self.whole),
        };
        let scope = Scope {
            pool: &route.pool,
            policy: &route.policy,
            handoff: route.handoff,
            memory: &route.state.memory,
            tried: &self.tried,
            now: self.ticket.now(),
        };
        plan(&scope, &demand, &mut *self.worker.rng.borrow_mut())
    }

    /// The plan is carried out from now on: its endpoints are held.
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

    pub(super) fn may_try_again(&self) -> bool {
        let now = self.ticket.now();
        self.ticket.route().state.budget.spend(now)
    }

    /// Only these may serve it: each in turn, until one knows of it.
    async fn pinned(&mut self) -> Result<Answered, Failure> {
        let mut last = Failure::NoStoredResponse;
        for (tried, &endpoint) in self.call.pinned.iter().enumerate() {
            if tried > 0 && !self.may_try_again() {
                break;
            }
            let plan = Plan::Local { endpoint };
            self.hold(Choice { plan, reason: Reason::StoredResponse, forecast: None });
            match self.local(endpoint).await {
                Ok(answered) => return Ok(answered),
                Err(Setback::Final(failure)) if failure.status() != StatusCode::NOT_FOUND => {
                    return Err(failure);
                }
                Err(
                    Setback::Final(failure) | Setback::Another(failure) | Setback::Replan(failure),
                ) => last = failure,
                Err(Setback::Whole(_)) => {}
            }
        }
        Err(last)
    }
}
