//! What a plan is expected to be for its user and for others, in promises broken.

use super::super::{Demand, Forecast, Reason, Scope};
use crate::endpoint::EndpointState;
use crate::phase::{Phase, Role};
use crate::prefix::Held;
use crate::speed::{PromptWork, Reading, Speed, StreamLoad};

/// A promise costs nothing while it is expected to need less than this share of its time; at the other, it is broken.
const SAFE: f64 = 0.4;
const LOST: f64 = 1.1;
/// What a whole target's time to the first token costs beside the risk: sooner is better.
const SOONER: f64 = 0.2;
/// What a whole target's time between tokens costs: little, as nobody reads faster than was promised.
const FASTER: f64 = 0.02;
/// What a pause as long as the promised time between tokens costs a stream.
const PAUSE: f64 = 0.000_1;
/// A prefill endpoint may come to read so many times as much as lately.
const MORE_READING: f64 = 2.0;
/// Most prompts that one is taken to delay.
const MOST_BEHIND: f64 = 100.0;
/// Share of its time beyond which an endpoint is taken to read for ever.
const ALWAYS_READS: f64 = 0.95;
/// What a full KV cache costs, as `share ÷ (1 − share)`.
const FULL: f64 = 0.01;
/// Above this share of its KV, an endpoint begins to throw streams out.
const OVERFULL: f64 = 0.95;
/// Fewest tokens that a stream is taken to have before it.
const LEAST_LEFT: f64 = 8.0;

/// How much endpoints of each role read.
pub(super) type Usual = [Reading; 3];

/// What is seen of one endpoint for one request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seen {
    /// Its index in the pool.
    pub(super) at: usize,
    /// What orders readers, and writers, before they are paired.
    pub(super) reading_cost: f64,
    pub(super) writing_cost: f64,
    speed: Speed,
    /// Seconds until it is the prompt's turn.
    wait: f64,
    /// Seconds to read what is not cached, and the tokens that are.
    read: f64,
    cached: f64,
    /// The streams there now, and the time between their tokens; with this one more, the time then.
    streams: f64,
    step: f64,
    itl: f64,
    itl_after: f64,
    /// Share of its time that it reads prompts, and prompts that come in a second.
    reading: f64,
    arrivals: f64,
    /// Seconds until a KV cache could begin to move here.
    link_wait: f64,
    /// What the KV of this request costs there.
    kv_cost: f64,
}

/// A plan judged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Verdict {
    pub(super) forecast: Forecast,
    ttft: f64,
    itl: f64,
    harm: f64,
}

impl Verdict {
    /// All of it.
    pub(super) fn cost(&self) -> f64 {
        self.ttft + self.itl + self.harm
    }

    /// What makes it better than `other`: the largest difference.
    pub(super) fn better_than(&self, other: &Self, demand: &Demand<'_>) -> Reason {
        let is_local = self.forecast.moved <= 0.0 && other.forecast.moved > 0.0;
        if is_local && self.forecast.cached * 2.0 > demand.prompt_tokens as f64 {
            return Reason::PrefixCached;
        }
        let gains = [
            (other.ttft - self.ttft, Reason::FirstTokenSooner),
            (other.itl - self.itl, Reason::StreamFaster),
            (other.harm - self.harm, Reason::StreamsSpared),
        ];
        let most = gains.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        most.map_or(Reason::FirstTokenSooner, |(_, reason)| reason)
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
            left: (scope.memory.lengths.mean() / 2.0).max(LEAST_LEFT),
            kept: tokens + demand.output_tokens,
        }
    }

    /// How much endpoints read, lately, on average over those of a role. *Why not each its own*: what one has read
    /// lately is over; to avoid it for that makes all requests go to the others, and then the same the other way
    /// round.
    pub(super) fn usual(&self, indices: &[usize]) -> Usual {
        let mut sums = [(Reading::default(), 0.0); 3];
        for at in indices {
            let endpoint = &self.scope.pool[*at];
            let reading = endpoint.state.pace.reading(self.scope.now);
            let (sum, count) = &mut sums[endpoint.role as usize];
            sum.seconds += reading.seconds;
            sum.steps += reading.steps;
            *count += 1.0;
        }
        sums.map(|(sum, count)| {
            let count = f64::max(count, 1.0);
            Reading { seconds: sum.seconds / count, steps: sum.steps / count }
        })
    }

    /// Looks at one endpoint.
    pub(super) fn see(&self, at: usize, held: &Held, usual: &Usual) -> Seen {
        let state = &*self.scope.pool[at].state;
        let now = self.scope.now;
        let speed = state.pace.models.speed_or(&self.others);
        let others = state.signals.others.get(now).map_or(0.0, |o| o.value * o.weight);
        let load = Self::load(state, others);
        let role = self.scope.pool[at].role;
        let reading = match role {
            Role::Prefill => state.pace.reading(now).times(MORE_READING),
            _ => usual[role as usize],
        };
        let cached = self.cached(state, held);
        let work = PromptWork { uncached: self.tokens - cached, cached, streams: load.streams };
        let one_more = StreamLoad { streams: load.streams + 1.0, tokens: load.tokens + self.kept };
        let mut seen = Seen {
            at,
            reading_cost: 0.0,
            writing_cost: 0.0,
            wait: state.pace.prompts.wait(now),
            read: speed.prefill(work),
            cached,
            streams: load.streams,
            step: speed.step(load),
            itl: reading.beside(speed.step(load)),
            itl_after: reading.beside(speed.step(one_more)),
            reading: reading.seconds,
            arrivals: state.pace.arrivals.rate(now),
            link_wait: state.pace.transfers.wait(now),
            kv_cost: self.kv_cost(state, load),
            speed,
        };
        let ttft = seen.wait + seen.read;
        seen.reading_cost = self.late(ttft) + self.behind(&seen);
        seen.writing_cost = self.slow(&seen)
            + self.slowed(&seen)
            + seen.kv_cost
            + self.late(seen.link_wait + seen.speed.transfer(self.tokens - cached));
        seen
    }

    /// The streams that are there or on their way.
    fn load(state: &EndpointState, others: f64) -> StreamLoad {
        let own = f64::from(state.in_flight(Phase::Decoding));
        let tokens = state.tokens(Phase::Decoding) as f64;
        let each = if own > 0.0 { tokens / own } else { 0.0 };
        StreamLoad { streams: own + others, tokens: tokens + others * each }
    }

    /// Tokens of the prompt that its cache is likely to hold; the last one is always computed.
    fn cached(&self, state: &EndpointState, held: &Held) -> f64 {
        if self.demand.blocks.is_empty() {
            return self.tokens * state.usual_hit(self.scope.now);
        }
        let blocks = held.iter().find(|(tag, _)| *tag == state.tag).map_or(0, |(_, depth)| *depth);
        (f64::from(blocks) * self.demand.block_tokens).min(self.tokens - 1.0).max(0.0)
    }

    fn kv_cost(&self, state: &EndpointState, load: StreamLoad) -> f64 {
        let now = self.scope.now;
        let scraped = state.signals.kv_use.get(now).map_or(0.0, |kv| kv.value * kv.weight);
        let own = state.signals.kv_capacity.get(now).filter(|kv| kv.value > 0.0);
        let own = own.map_or(0.0, |capacity| (load.tokens + self.kept) / capacity.value);
        let share = scraped.max(own);
        let overfull = if share > OVERFULL { 1.0 } else { 0.0 };
        let share = share.min(0.99);
        overfull + FULL * share / (1.0 - share)
    }

    /// One endpoint serves it whole.
    pub(super) fn local(&self, seen: &Seen) -> Verdict {
        let forecast = Forecast {
            ttft: seen.wait + seen.read,
            itl: seen.itl_after,
            wait: seen.wait,
            cached: seen.cached,
            moved: 0.0,
        };
        let harm = self.behind(seen) + self.stalled(seen) + self.slowed(seen) + seen.kv_cost;
        self.verdict(forecast, self.slow(seen), harm)
    }

    /// `reader` reads the prompt, `writer` writes the answer.
    pub(super) fn handoff(&self, reader: &Seen, writer: &Seen) -> Verdict {
        let moved = self.tokens - writer.cached;
        let transfer = writer.link_wait.max(0.0) + writer.speed.transfer(moved);
        let forecast = Forecast {
            ttft: reader.wait + reader.read + transfer + writer.itl_after,
            itl: writer.itl_after,
            wait: reader.wait,
            cached: reader.cached,
            moved,
        };
        let harm =
            self.behind(reader) + self.stalled(reader) + self.slowed(writer) + writer.kv_cost;
        self.verdict(forecast, self.slow(writer), harm)
    }

    fn verdict(&self, forecast: Forecast, itl: f64, harm: f64) -> Verdict {
        Verdict { ttft: self.late(forecast.ttft), itl, harm, forecast }
    }

    /// What a first token after `ttft` seconds costs its user.
    fn late(&self, ttft: f64) -> f64 {
        let share = (self.waited + ttft) / self.ttft_target;
        risk(share) + SOONER * share
    }

    /// What the time between its tokens costs its user.
    fn slow(&self, writer: &Seen) -> f64 {
        let share = writer.itl_after / self.itl_target;
        risk(share) + FASTER * share
    }

    /// What its prompt costs the prompts behind it: all that come before the line is empty again are that much later.
    fn behind(&self, reader: &Seen) -> f64 {
        let empty_in = (reader.wait + reader.read) / (1.0 - reader.reading.min(ALWAYS_READS));
        let behind = (reader.arrivals * empty_in).min(MOST_BEHIND);
        let (before, after) = (reader.wait, reader.wait + reader.read);
        let (before, after) = (before / self.ttft_target, after / self.ttft_target);
        behind * (risk(after) - risk(before) + SOONER * (after - before))
    }

    /// What the reading of its prompt costs the streams beside it.
    fn stalled(&self, reader: &Seen) -> f64 {
        // The step that reads it gives them a token too: what they lose is what it takes longer.
        let lost = (reader.read - reader.step).max(0.0);
        let longer = reader.itl + lost / self.left;
        let pause = lost / self.itl_target;
        reader.streams * (self.lost(reader.itl, longer) + PAUSE * pause)
    }

    /// What one stream more costs the streams beside it.
    fn slowed(&self, writer: &Seen) -> f64 {
        writer.streams * self.lost(writer.itl, writer.itl_after)
    }

    /// What it costs a stream that the time between its tokens grows.
    fn lost(&self, before: f64, after: f64) -> f64 {
        let (before, after) = (before / self.itl_target, after / self.itl_target);
        risk(after) - risk(before) + FASTER * (after - before)
    }
}

/// What it costs that a promise is expected to need this share of its time, 1 where it is broken. *Why this one*: it
/// grows the faster the nearer the promise is to be broken, as forecasts err; and it goes on growing behind that, or
/// what is lost already would look free, and all that comes would be sent there.
fn risk(share: f64) -> f64 {
    let t = ((share - SAFE) / (LOST - SAFE)).max(0.0);
    if t < 1.0 { t * t } else { 2.0 * t - 1.0 }
}
