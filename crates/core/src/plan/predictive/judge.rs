//! Estimates what a plan costs its own user and others, in targets missed.

use crate::endpoint::state::EndpointState;
use crate::phase::{Phase, Role};
use crate::plan::forecast::Forecast;
use crate::plan::predictive::cost::PlanCost;
use crate::plan::predictive::tuning::{
    FASTER_COST, FULL_KV_COST, HORIZON, KV_LIMIT, MAX_BEHIND, MIN_STREAM_LEFT, MISSED_AT,
    MORE_PREFILL, PAUSE_COST, PAUSE_LIMIT, SAFE_UNTIL, SOONER_COST,
};
use crate::plan::scope::{Demand, Scope};
use crate::speed::busy_time::{BusyTime, RecentLoad};
use crate::speed::models::Speed;
use crate::speed::work::{PromptWork, StreamLoad};

/// The mean share of time that endpoints spend on prefill, by role.
pub(super) type TypicalPrefill = [BusyTime; 3];

/// An endpoint that may take part in the plan.
#[derive(Clone, Copy, Debug)]
pub(super) struct CandidateFacts {
    /// Its index in the pool.
    pub(super) at: usize,
    /// Blocks of the prompt that its prefix cache is likely to hold.
    pub(super) held: u32,
    pub(super) lately: RecentLoad,
}

/// What one request would mean at one endpoint.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its index in the pool.
    pub(super) at: usize,
    /// Seconds until the prompt's turn.
    wait: f64,
    /// Seconds to prefill the tokens that are not cached.
    read: f64,
    /// Tokens of the prompt that its prefix cache is likely to hold.
    cached: f64,
    /// Seconds until the KV of the tokens that are not cached could be here, from another endpoint.
    transfer: f64,
    /// Seconds between tokens with this stream too, once all waiting prompts are read.
    itl: f64,
    /// What that ITL costs its user.
    slow: f64,
    /// What prefill here costs others.
    prefill_harm: f64,
    /// What decoding here costs others.
    decoding_harm: f64,
}

impl Candidate {
    /// Seconds until it has read the prompt.
    fn ready(&self) -> f64 {
        self.wait + self.read
    }
}

/// Estimates the costs of plans for one request.
pub(super) struct Judge<'a> {
    scope: &'a Scope<'a>,
    demand: &'a Demand<'a>,
    /// The speed of an endpoint that is like the others.
    common: Speed,
    /// Seconds.
    ttft_target: f64,
    /// Seconds since the request arrived at the router.
    waited: f64,
    /// Seconds.
    itl_target: f64,
    /// Tokens of the prompt.
    tokens: f64,
    /// Expected tokens of the answer, at least 1.
    output: f64,
    /// Tokens that a running stream has still to come, on average.
    left: f64,
    /// KV tokens that the request ends with: prompt and answer.
    kept: f64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, demand: &'a Demand<'a>) -> Self {
        let tokens = demand.prompt_tokens as f64;
        Self {
            scope,
            demand,
            common: scope.memory.models.speed(),
            ttft_target: demand.target.ttft.as_secs_f64().max(1e-3),
            waited: demand.waited.as_secs_f64(),
            itl_target: demand.target.itl.as_secs_f64().max(1e-4),
            tokens,
            output: demand.output_tokens.max(1.0),
            left: (scope.memory.lengths.mean() / 2.0).max(MIN_STREAM_LEFT),
            kept: tokens + demand.output_tokens,
        }
    }

    /// The share of time spent on prefill, averaged over the endpoints of each role. *Why not each its own*: what an
    /// endpoint has read is over. Requests that avoid it for that all go to the others, and then all come back.
    pub(super) fn typical_prefill(&self, candidates: &[CandidateFacts]) -> TypicalPrefill {
        let mut sums = [(BusyTime::default(), 0.0); 3];
        for CandidateFacts { at, lately, .. } in candidates {
            let (sum, count) = &mut sums[self.scope.pool[*at].role as usize];
            sum.seconds += lately.reading.seconds;
            sum.steps += lately.reading.steps;
            *count += 1.0;
        }
        sums.map(|(sum, count)| {
            let count = f64::max(count, 1.0);
            BusyTime { seconds: sum.seconds / count, steps: sum.steps / count }
        })
    }

    /// Estimates what the request would mean at one endpoint.
    pub(super) fn candidate(&self, facts: CandidateFacts, typical: &TypicalPrefill) -> Candidate {
        let CandidateFacts { at, held, lately } = facts;
        let endpoint = &self.scope.pool[at];
        let (state, now) = (&*endpoint.state, self.scope.now);
        let speed = state.pace.models.speed_or(&self.common);
        let load = Self::load(state, state.signals.others.faded(now));
        let reading = match endpoint.role {
            // What it reads, not what others of its role read: it may be needed for more prompts at any moment, and
            // then a stream that was put there stands in the way.
            Role::Prefill => lately.reading.times(MORE_PREFILL),
            role => typical[role as usize],
        };
        let cached = self.cached(state, held);
        let uncached = self.tokens - cached;
        let one_more = StreamLoad { streams: load.streams + 1.0, tokens: load.tokens + self.kept };
        let wait = state.pace.prompts.wait(now);
        let read = speed.prefill(PromptWork { uncached, cached, streams: load.streams });
        let step = speed.step(load);
        let (before, itl) = (reading.beside(step), reading.beside(speed.step(one_more)));
        let behind = self.behind((wait, read), lately, reading);
        Candidate {
            at,
            wait,
            read,
            cached,
            transfer: state.pace.transfers.wait(now) + speed.transfer(uncached),
            itl,
            slow: self.slow(itl),
            prefill_harm: behind + load.streams * self.stalled(read, step, before),
            decoding_harm: load.streams * self.slowed(before, itl) + self.kv_cost(state, load),
        }
    }

    /// The streams that run there or are on their way; `others` are those of other routers, which hold as many tokens.
    fn load(state: &EndpointState, others: f64) -> StreamLoad {
        let own = f64::from(state.ledger.in_flight(Phase::Decoding));
        let tokens = state.ledger.tokens(Phase::Decoding) as f64;
        let each = if own > 0.0 { tokens / own } else { 0.0 };
        StreamLoad { streams: own + others, tokens: tokens + others * each }
    }

    /// Tokens of the prompt that its prefix cache is likely to hold. The last one is always computed.
    fn cached(&self, state: &EndpointState, held: u32) -> f64 {
        if self.demand.blocks.is_empty() {
            return self.tokens * state.usual_hit(self.scope.now);
        }
        (f64::from(held) * self.demand.block_tokens).min(self.tokens - 1.0).max(0.0)
    }

    /// What it costs that the request's KV is put into a cache that is filling up.
    fn kv_cost(&self, state: &EndpointState, load: StreamLoad) -> f64 {
        let now = self.scope.now;
        let capacity = state.signals.kv_capacity.latest().filter(|capacity| *capacity > 0.0);
        let own = capacity.map_or(0.0, |capacity| (load.tokens + self.kept) / capacity);
        let share = state.signals.kv_use.faded(now).max(own);
        let overfull = if share > KV_LIMIT { 1.0 } else { 0.0 };
        let share = share.min(0.99);
        overfull + FULL_KV_COST * share / (1.0 - share)
    }

    /// The cost by which endpoints for prefill are ordered before they are paired.
    pub(super) fn prefill_cost(&self, reader: &Candidate) -> f64 {
        self.late(reader.ready()) + reader.prefill_harm
    }

    /// The cost by which endpoints for decoding are ordered before they are paired.
    pub(super) fn decoding_cost(&self, writer: &Candidate) -> f64 {
        let slow = self.slow_from(writer, writer.transfer);
        slow + writer.decoding_harm + self.late(writer.transfer)
    }

    /// The cost of serving the request whole.
    pub(super) fn local_cost(&self, candidate: &Candidate) -> f64 {
        self.late(candidate.ready())
            + candidate.slow
            + candidate.prefill_harm
            + candidate.decoding_harm
    }

    /// The terms of the cost of serving the request whole, and its forecast.
    pub(super) fn local(&self, candidate: &Candidate) -> PlanCost {
        self.plan_cost(candidate, candidate, candidate.ready(), 0.0)
    }

    /// The cost of a handoff from `reader` to `writer`.
    pub(super) fn handoff_cost(&self, reader: &Candidate, writer: &Candidate) -> f64 {
        let ttft = handoff_ttft(reader, writer);
        let harm = reader.prefill_harm + writer.decoding_harm;
        self.late(ttft) + self.slow_from(writer, ttft) + harm
    }

    /// The terms of the cost of a handoff from `reader` to `writer`, and its forecast.
    pub(super) fn handoff(&self, reader: &Candidate, writer: &Candidate) -> PlanCost {
        self.plan_cost(reader, writer, handoff_ttft(reader, writer), self.tokens - writer.cached)
    }

    fn plan_cost(&self, reader: &Candidate, writer: &Candidate, ttft: f64, moved: f64) -> PlanCost {
        let Candidate { wait, cached, .. } = *reader;
        let itl = self.itl_from(writer, ttft);
        PlanCost {
            forecast: Forecast { ttft, itl, wait, cached, moved },
            ttft: self.late(ttft),
            itl: self.slow(itl),
            harm: reader.prefill_harm + writer.decoding_harm,
        }
    }

    /// What a first token after `ttft` more seconds costs the user.
    fn late(&self, ttft: f64) -> f64 {
        let share = (self.waited + ttft) / self.ttft_target;
        risk(share) + SOONER_COST * share
    }

    /// The ITL of a stream whose first token comes after `ttft` seconds: prompts that `writer` still reads then delay
    /// it.
    fn itl_from(&self, writer: &Candidate, ttft: f64) -> f64 {
        writer.itl + (writer.wait - ttft).max(0.0) / self.output
    }

    /// What that ITL costs the user.
    fn slow_from(&self, writer: &Candidate, ttft: f64) -> f64 {
        if writer.wait > ttft { self.slow(self.itl_from(writer, ttft)) } else { writer.slow }
    }

    /// What an ITL costs the user.
    fn slow(&self, itl: f64) -> f64 {
        let share = itl / self.itl_target;
        risk(share) + FASTER_COST * share
    }

    /// What a prompt that takes `read` seconds after a `wait` costs the prompts behind it: all that arrive before the
    /// queue is empty again start that much later.
    fn behind(&self, (wait, read): (f64, f64), lately: RecentLoad, reading: BusyTime) -> f64 {
        let empty_in = (wait + read) / reading.rest();
        let behind = (lately.arrivals * empty_in.min(HORIZON)).min(MAX_BEHIND);
        let (before, after) = (wait / self.ttft_target, (wait + read) / self.ttft_target);
        behind * (risk(after) - risk(before) + SOONER_COST * (after - before))
    }

    /// What prefill of the prompt costs one stream beside it, whose tokens come `itl` seconds apart.
    fn stalled(&self, read: f64, step: f64, itl: f64) -> f64 {
        // The step that reads it gives a token too: what is lost is what it takes longer.
        let lost = (read - step).max(0.0);
        let pause = risk((lost + step) / (PAUSE_LIMIT * self.itl_target));
        self.slowed(itl, itl + lost / self.left) + PAUSE_COST * pause
    }

    /// What it costs a stream that its ITL grows from `before` to `after`.
    fn slowed(&self, before: f64, after: f64) -> f64 {
        let (before, after) = (before / self.itl_target, after / self.itl_target);
        risk(after) - risk(before) + FASTER_COST * (after - before)
    }
}

/// Seconds until the first token after a handoff.
fn handoff_ttft(reader: &Candidate, writer: &Candidate) -> f64 {
    reader.ready() + writer.transfer + writer.itl
}

/// The risk of missing a target if this share of it is expected to be used: 0 up to [`SAFE_UNTIL`], 1 at [`MISSED_AT`].
/// *Why this shape*: forecasts err, so it rises faster the nearer the target is. It goes on rising beyond, because
/// otherwise an endpoint that misses its targets anyway would look free, and all requests would be sent there.
fn risk(share: f64) -> f64 {
    let t = ((share - SAFE_UNTIL) / (MISSED_AT - SAFE_UNTIL)).max(0.0);
    if t < 1.0 { t * t } else { 2.0 * t - 1.0 }
}
