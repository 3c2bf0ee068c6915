//! One request on its way through the lab.

use std::time::Duration;

use qoe_core::flight::{Cargo, Flight};
use qoe_core::ladder::Ladder;
use qoe_core::memory::RouteMemory;
use qoe_core::phase::Phase;
use qoe_core::plan::choice::{Choice, Plan};
use qoe_core::plan::scope::Demand;

use crate::lab::arrival::Arrival;
use crate::lab::outcome::Outcome;
use crate::lab::world::prompt::{Made, ROUTER_BLOCK, make};

pub(super) struct Job<'a> {
    pub(super) arrival: &'a Arrival,
    pub(super) router: usize,
    pub(super) flight: Flight,
    pub(super) made: Option<Made>,
    pub(super) output_tokens: f64,
    pub(super) ladder: Ladder,
    pub(super) choice: Option<Choice>,
    pub(super) dispatched: Option<Duration>,
    last_token: Option<Duration>,
    pub(super) longest_gap: f64,
    pub(super) moved_tokens: u32,
    pub(super) cached_tokens: u32,
    /// When it ended, and whether it was answered whole.
    pub(super) ended: Option<(Duration, bool)>,
    pub(super) refused: Option<&'static str>,
}

impl<'a> Job<'a> {
    pub(super) fn new(arrival: &'a Arrival, router: usize, memory: &RouteMemory) -> Self {
        let prompt_tokens = u64::from(arrival.prompt_tokens());
        let output_tokens =
            memory.lengths.expected(prompt_tokens, arrival.expected_output_tokens, None);
        let block_tokens = f64::from(ROUTER_BLOCK);
        let cargo = Cargo { prompt_tokens, output_tokens, block_tokens, streamed: true };
        Self {
            arrival,
            router,
            flight: Flight::new(arrival.target, cargo, arrival.at),
            made: Some(make(&arrival.prompt)),
            output_tokens,
            ladder: Ladder::default(),
            choice: None,
            dispatched: None,
            last_token: None,
            longest_gap: 0.0,
            moved_tokens: 0,
            cached_tokens: 0,
            ended: None,
            refused: None,
        }
    }

    /// Its prompt; gone once it has ended.
    pub(super) fn made(&self) -> &Made {
        self.made.as_ref().expect("a job that has ended is not asked for its prompt")
    }

    /// What its next plan is made of: its ladder, and what it needs.
    pub(super) fn ladder_and_demand(&mut self, now: Duration) -> (&mut Ladder, Demand<'_>) {
        let made = self.made.as_ref().expect("a job that has ended is not planned");
        let demand = Demand {
            model: None,
            phase: if self.arrival.goes_on { Phase::Decoding } else { Phase::Prefill },
            prompt_tokens: u64::from(made.prompt.tokens),
            expected_output_tokens: self.arrival.expected_output_tokens,
            output_tokens: self.output_tokens,
            blocks: &made.blocks,
            block_tokens: f64::from(ROUTER_BLOCK),
            target: self.arrival.target,
            waited: now.saturating_sub(self.arrival.at),
            whole: None,
        };
        (&mut self.ladder, demand)
    }

    /// A token came. The pause before it, in seconds.
    pub(super) fn token(&mut self, memory: &RouteMemory, now: Duration) -> Option<f64> {
        self.flight.streamed(1, memory, now);
        let gap = self.last_token.map(|last| now.saturating_sub(last).as_secs_f64());
        self.last_token = Some(now);
        if let Some(gap) = gap {
            self.longest_gap = self.longest_gap.max(gap);
        }
        gap
    }

    pub(super) fn has_tokens(&self) -> bool {
        self.last_token.is_some()
    }

    /// It is over. What it held is given back.
    pub(super) fn end(&mut self, whole: bool, memory: &RouteMemory, now: Duration) {
        if whole {
            self.flight.answered(memory, now);
        }
        self.ended = Some((now, whole));
        self.made = None;
        self.flight.release();
    }

    pub(super) fn outcome(&self, end: Duration) -> Outcome {
        let (ended, served) = self.ended.unwrap_or((end, false));
        let timings = self.flight.timings(ended);
        let choice = self.choice;
        let forecast = self.flight.forecast();
        let sla_met = served && timings.sla_met == Some(true);
        let plan_at = self.dispatched.unwrap_or(ended).saturating_sub(self.arrival.at);
        Outcome {
            at: self.arrival.at,
            priority: self.arrival.priority,
            prompt_tokens: self.arrival.prompt_tokens(),
            output_tokens: timings.tokens as u32,
            ttft: timings.ttft,
            itl: timings.itl,
            longest_gap: self.longest_gap,
            e2e: timings.total,
            qoe: if served { timings.qoe.unwrap_or_default() } else { 0.0 },
            sla_met,
            smooth: Outcome::is_smooth(sla_met, self.longest_gap, self.arrival.target),
            served,
            handoff: choice.is_some_and(|c| matches!(c.plan, Plan::Handoff { .. })),
            reason: self.refused.or(choice.map(|c| c.reason.as_str())).unwrap_or("none"),
            queued: plan_at.as_secs_f64(),
            moved_tokens: self.moved_tokens,
            cached_tokens: self.cached_tokens,
            forecast_ttft: forecast.map(|f| f.ttft + plan_at.as_secs_f64()),
            forecast_itl: forecast.map(|f| f.itl),
        }
    }
}
