//! What a plan is expected to be for its user and for others, in promises broken.

use crate::endpoint::state::EndpointState;
use crate::phase::{Phase, Role};
use crate::plan::forecast::Forecast;
pub(crate) use crate::plan::predictive::cost::PlanCost;
use crate::plan::scope::{Demand, Scope};
use crate::speed::models::Speed;
use crate::speed::prefill_time::{PrefillTime, RecentLoad};
use crate::speed::work::{PromptWork, StreamLoad};

/// A promise costs nothing while it is expected to need less than this share of its time; at the other, it is broken.
const SAFE: f64 = 0.25;
const LOST: f64 = 1.1;
/// What a whole target's time to the first token costs beside the risk: sooner is better.
const SOONER: f64 = 0.25;
/// What a whole target's time between tokens costs: little, as nobody reads faster than was promised.
const FASTER: f64 = 0.018;
/// A pause this many times as long as the promised time between tokens is taken for a promise broken …
const PAUSE_TIMES: f64 = 2.5;
/// … but a small one: what it costs a stream. *Why at all*: a mean hides that a stream stands still while somebody
/// else's prompt is read. A step that reads a short prompt is hardly longer than one that does not; so short prompts
/// are read beside streams, and long ones where there are few.
const PAUSE: f64 = 0.1;
/// A prefill endpoint may come to read so many times as much as lately: that is what it is for, and a stream that is put
/// there meanwhile is in the way.
const MORE_READING: f64 = 10.0;
/// Most prompts that one is taken to delay.
const MOST_BEHIND: f64 = 100.0;
/// And only those that come within so many seconds: how many come is known of as long a time, and who comes later can
/// be sent elsewhere.
const FORESEEN: f64 = 5.0;
/// Share of its time beyond which an endpoint is taken to read for ever.
const ALWAYS_READS: f64 = 0.95;
/// What a full KV cache costs, as `share ÷ (1 − share)`.
const FULL: f64 = 0.007;
/// Above this share of its KV, an endpoint begins to throw streams out.
const OVERFULL: f64 = 0.95;
/// Fewest tokens that a stream is taken to have before it.
const LEAST_LEFT: f64 = 8.0;

/// How much endpoints of each role read.
pub(super) type TypicalPrefill = [PrefillTime; 3];

/// One endpoint that is looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct CandidateFacts {
    /// Its index in the pool.
    pub(super) at: usize,
    /// Blocks of the prompt that it holds.
    pub(super) held: u32,
    pub(super) lately: RecentLoad,
}

/// What is seen of one endpoint for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Candidate {
    /// Its index in the pool.
    pub(super) at: usize,
    /// Seconds until it is the prompt's turn.
    wait: f64,
    /// Seconds to read what is not cached, and the tokens that are.
    read: f64,
    cached: f64,
    /// Seconds until the KV of what is not cached could be here, from another one.
    transfer: f64,
    /// Seconds between tokens, with this stream too, once all that is in the line is read.
    itl: f64,
    /// What that costs its user.
    slow: f64,
    /// What it costs others that it reads the prompt, and that it writes the answer.
    reading_harm: f64,
    writing_harm: f64,
}

impl Candidate {
    /// Seconds until it has read the prompt.
    fn ready(&self) -> f64 {
        self.wait + self.read
    }
}

/// Judges plans for one request.
pub(super) struct Judge<'a> {
    scope: &'a Scope<'a>,
    demand: &'a Demand<'a>,
    others: Speed,
    ttft_target: f64,
    /// Seconds that it has waited already.
    waited: f64,
    itl_target: f64,
    tokens: f64,
    /// Tokens of the answer, at least one.
    output: f64,
    /// Tokens that a stream still has before it, on average.
    left: f64,
    /// Tokens of prompt and answer.
    kept: f64,
}

impl<'a> Judge<'a> {
    pub(super) fn new(scope: &'a Scope<'a>, demand: &'a Demand<'a>) -> Self {
        let tokens = demand.prompt_tokens as f64;
        Self {
            scope,
            demand,
            others: scope.memory.models.speed(),
            ttft_target: demand.target.ttft.as_secs_f64().max(1e-3),
            waited: demand.waited.as_secs_f64(),
            itl_target: demand.target.itl.as_secs_f64().max(1e-4),
            tokens,
            output: demand.output_tokens.max(1.0),
            left: (scope.memory.lengths.mean() / 2.0).max(LEAST_LEFT),
            kept: tokens + demand.output_tokens,
        }
    }

    /// How much endpoints read, of late, on average over those of a role. *Why not each its own*: what one has read of
    /// late is over; to avoid it for that makes all requests go to the others, and then the same the other way round.
    pub(super) fn usual(&self, looked: &[CandidateFacts]) -> TypicalPrefill {
        let mut sums = [(PrefillTime::default(), 0.0); 3];
        for CandidateFacts { at, lately, .. } in looked {
            let (sum, count) = &mut sums[self.scope.pool[*at].role as usize];
            sum.seconds += lately.reading.seconds;
            sum.steps += lately.reading.steps;
            *count += 1.0;
        }
        sums.map(|(sum, count)| {
            let count = f64::max(count, 1.0);
            PrefillTime { seconds: sum.seconds / count, steps: sum.steps / count }
        })
    }

    /// Looks at one endpoint.
    pub(super) fn see(&self, looked: CandidateFacts, usual: &TypicalPrefill) -> Candidate {
        let CandidateFacts { at, held, lately } = looked;
        let endpoint = &self.scope.pool[at];
        let (state, now) = (&*endpoint.state, self.scope.now);
        let speed = state.pace.models.speed_or(&self.others);
        let load = Self::load(state, state.signals.others.faded(now));
        let reading = match endpoint.role {
            Role::Prefill => lately.reading.times(MORE_READING),
            role => usual[role as usize],
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
            reading_harm: behind + load.streams * self.stalled(read, step, before),
            writing_harm: load.streams * self.slowed(before, itl) + self.kv_cost(state, load),
        }
    }

    /// The streams that are there or on their way.
    fn load(state: &EndpointState, others: f64) -> StreamLoad {
        let own = f64::from(state.ledger.in_flight(Phase::Decoding));
        let tokens = state.ledger.tokens(Phase::Decoding) as f64;
        let each = if own > 0.0 { tokens / own } else { 0.0 };
        StreamLoad { streams: own + others, tokens: tokens + others * each }
    }

    /// Tokens of the prompt that its cache is likely to hold; the last one is always computed.
    fn cached(&self, state: &EndpointState, held: u32) -> f64 {
        if self.demand.blocks.is_empty() {
            return self.tokens * state.usual_hit(self.scope.now);
        }
        (f64::from(held) * self.demand.block_tokens).min(self.tokens - 1.0).max(0.0)
    }

    fn kv_cost(&self, state: &EndpointState, load: StreamLoad) -> f64 {
        let now = self.scope.now;
        let capacity = state.signals.kv_capacity.latest().filter(|capacity| *capacity > 0.0);
        let own = capacity.map_or(0.0, |capacity| (load.tokens + self.kept) / capacity);
        let share = state.signals.kv_use.faded(now).max(own);
        let overfull = if share > OVERFULL { 1.0 } else { 0.0 };
        let share = share.min(0.99);
        overfull + FULL * share / (1.0 - share)
    }

    /// What orders those who could read the prompt, before they are paired.
    pub(super) fn reading_cost(&self, reader: &Candidate) -> f64 {
        self.late(reader.ready()) + reader.reading_harm
    }

    /// What orders those who could write the answer, before they are paired.
    pub(super) fn writing_cost(&self, writer: &Candidate) -> f64 {
        let slow = self.slow_from(writer, writer.transfer);
        slow + writer.writing_harm + self.late(writer.transfer)
    }

    /// What it costs that one endpoint serves it whole.
    pub(super) fn local_cost(&self, seen: &Candidate) -> f64 {
        self.late(seen.ready()) + seen.slow + seen.reading_harm + seen.writing_harm
    }

    /// One endpoint serves it whole.
    pub(super) fn local(&self, seen: &Candidate) -> PlanCost {
        self.verdict(seen, seen, seen.ready(), 0.0)
    }

    /// What it costs that `reader` reads the prompt and `writer` writes the answer.
    pub(super) fn handoff_cost(&self, reader: &Candidate, writer: &Candidate) -> f64 {
        let ttft = handed_over(reader, writer);
        let harm = reader.reading_harm + writer.writing_harm;
        self.late(ttft) + self.slow_from(writer, ttft) + harm
    }

    /// `reader` reads the prompt, `writer` writes the answer.
    pub(super) fn handoff(&self, reader: &Candidate, writer: &Candidate) -> PlanCost {
        self.verdict(reader, writer, handed_over(reader, writer), self.tokens - writer.cached)
    }

    fn verdict(&self, reader: &Candidate, writer: &Candidate, ttft: f64, moved: f64) -> PlanCost {
        let Candidate { wait, cached, .. } = *reader;
        let itl = self.itl_from(writer, ttft);
        PlanCost {
            forecast: Forecast { ttft, itl, wait, cached, moved },
            ttft: self.late(ttft),
            itl: self.slow(itl),
            harm: reader.reading_harm + writer.writing_harm,
        }
    }

    /// What a first token after `ttft` seconds costs its user.
    fn late(&self, ttft: f64) -> f64 {
        let share = (self.waited + ttft) / self.ttft_target;
        risk(share) + SOONER * share
    }

    /// Seconds between its tokens if they come after `ttft`: what its endpoint still reads then stops them.
    fn itl_from(&self, writer: &Candidate, ttft: f64) -> f64 {
        writer.itl + (writer.wait - ttft).max(0.0) / self.output
    }

    /// What that costs its user.
    fn slow_from(&self, writer: &Candidate, ttft: f64) -> f64 {
        if writer.wait > ttft { self.slow(self.itl_from(writer, ttft)) } else { writer.slow }
    }

    /// What the time between its tokens costs its user.
    fn slow(&self, itl: f64) -> f64 {
        let share = itl / self.itl_target;
        risk(share) + FASTER * share
    }

    /// What a prompt that is `read` after a `wait` costs those behind it: all that come before the line is empty again
    /// are that much later.
    fn behind(&self, (wait, read): (f64, f64), lately: RecentLoad, reading: PrefillTime) -> f64 {
        let empty_in = (wait + read) / (1.0 - reading.seconds.min(ALWAYS_READS));
        let behind = (lately.arrivals * empty_in.min(FORESEEN)).min(MOST_BEHIND);
        let (before, after) = (wait / self.ttft_target, (wait + read) / self.ttft_target);
        behind * (risk(after) - risk(before) + SOONER * (after - before))
    }

    /// What the reading of its prompt costs a stream beside it, whose tokens come `itl` seconds apart.
    fn stalled(&self, read: f64, step: f64, itl: f64) -> f64 {
        // The step that reads it gives a token too: what is lost is what it takes longer.
        let lost = (read - step).max(0.0);
        let pause = risk((lost + step) / (PAUSE_TIMES * self.itl_target));
        self.slowed(itl, itl + lost / self.left) + PAUSE * pause
    }

    /// What it costs a stream that the time between its tokens grows.
    fn slowed(&self, before: f64, after: f64) -> f64 {
        let (before, after) = (before / self.itl_target, after / self.itl_target);
        risk(after) - risk(before) + FASTER * (after - before)
    }
}

/// Seconds until the first token after a handoff.
fn handed_over(reader: &Candidate, writer: &Candidate) -> f64 {
    reader.ready() + writer.transfer + writer.itl
}

/// What it costs that a promise is expected to need this share of its time, 1 where it is broken. *Why this one*: it
/// grows the faster the nearer the promise is to be broken, as forecasts err; and it goes on growing behind that, or
/// what is lost already would look free, and all that comes would be sent there.
fn risk(share: f64) -> f64 {
    let t = ((share - SAFE) / (LOST - SAFE)).max(0.0);
    if t < 1.0 { t * t } else { 2.0 * t - 1.0 }
}
