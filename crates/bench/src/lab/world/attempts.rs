//! Plans of the lab's requests, carried out until one succeeds, by the fallback ladder of `core::ladder`.

use qoe_core::ladder::setback::{LegFailure, Setback};
use qoe_core::ladder::{self, NextStep};
use qoe_core::plan::choice::{Choice, Plan};
use qoe_core::plan::plan;
use qoe_core::plan::scope::{Demand, Scope};

use crate::lab::world::event::JobId;
use crate::lab::world::legs::Kind;
use crate::lab::world::replica::Replica;
use crate::lab::world::state::World;

impl World<'_> {
    /// The best plan for a request now, over what its ladder leaves.
    pub(super) fn choose(&mut self, id: JobId) -> Option<Choice> {
        let job = &mut self.jobs[id];
        let Replica { pool, memory, rng, .. } = &mut self.routers[job.router];
        let (policy, handoff, now) = (&self.rules.policy, self.rules.handoff, self.now);
        let (ladder, demand) = job.ladder_and_demand(now);
        ladder.choose(|tried, whole| {
            let scope = Scope { pool, policy, handoff, memory, tried, now };
            plan(&scope, &Demand { whole, ..demand }, rng)
        })
    }

    /// Carries out a plan; without one the request is lost.
    pub(super) fn carry_out(&mut self, id: JobId, choice: Option<Choice>) {
        let Some(choice) = choice else { return self.end(id, false) };
        let now = self.now;
        let job = &mut self.jobs[id];
        let Replica { pool, memory, .. } = &self.routers[job.router];
        let blocks = job.made.as_ref().map_or(&[][..], |made| &made.blocks);
        job.dispatched.get_or_insert(now);
        job.choice = Some(choice);
        let forecast = choice.forecast;
        match choice.plan {
            Plan::Local { endpoint } => {
                let to = &pool[endpoint].state;
                job.flight.planned(None, to, forecast, blocks, memory, now);
                job.flight.sent(memory, now);
                self.send(id, endpoint, Kind::Whole);
            }
            Plan::Handoff { prefill, decoding } => {
                let (from, to) = (&pool[prefill].state, &pool[decoding].state);
                job.flight.planned(Some(from), to, forecast, blocks, memory, now);
                job.flight.prefill_sent(now);
                self.send(id, prefill, Kind::Prefill { decoding });
            }
        }
    }

    /// A leg failed before the first token: what the ladder says comes next.
    pub(super) fn set_back(&mut self, id: JobId, kind: Kind, failure: LegFailure) {
        if let Kind::Decoding { from } = kind {
            self.release(from);
        }
        let job = &mut self.jobs[id];
        let router = job.router;
        let Some(Choice { plan, .. }) = job.choice else { return };
        let setback = match kind {
            Kind::Prefill { .. } => Setback::Prefill(failure),
            Kind::Whole | Kind::Decoding { .. } => Setback::Answer(failure),
        };
        let (step, _) = job.ladder.next(plan, setback, &self.routers[router].facts(self.now));
        match step {
            NextStep::PlanAgain => {
                let choice = self.choose(id);
                self.carry_out(id, choice);
            }
            NextStep::GiveUp => self.end(id, false),
        }
        if self.jobs[id].ended.is_some() {
            self.pump(router);
        }
    }

    /// The first token of a request came.
    pub(super) fn answered(&mut self, id: JobId) {
        let job = &self.jobs[id];
        let router = job.router;
        if let Some(Choice { plan, .. }) = job.choice {
            ladder::answered(plan, &self.routers[router].facts(self.now));
        }
        self.pump(router);
    }
}
