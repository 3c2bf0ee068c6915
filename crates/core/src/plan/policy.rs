//! How one endpoint is chosen among candidates: a score for each, then a pick.
//!
//! A policy is an enum built from validated configuration: the set is closed. `Predictive` does not score endpoints one
//! by one but whole plans: see [`crate::plan`].

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rand::{Rng, RngExt};

use crate::endpoint::signals::Weighed;
use crate::endpoint::{Endpoint, EndpointState};
use crate::phase::Phase;
use crate::plan::Predictive;

/// A policy by name, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// Whole plans by what they are expected to be for the user, and to cost others.
    Predictive(Predictive),
    /// The published formula: a weighted sum of factors per phase; the lowest wins.
    Weighted(Weights),
    /// Each candidate in turn.
    RoundRobin,
    /// The one with the fewest requests of this router in flight.
    LeastRequest,
    /// The better, by requests in flight, of two drawn at random.
    PowerOfTwo,
    /// Of those that are to read a prompt, who is likely to have the most of the prompt in its prefix cache, while load is even; else as
    /// `LeastRequest`. What other routers call cache-aware.
    PrefixAffinity,
}

/// Weights of `Weighted` and the reference values its factors are ratios of.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights {
    /// Prefill: weight of TTFT.
    pub prefill_ttft: f64,
    /// Prefill: weight of the share of the prompt that the prefix cache misses.
    pub prefill_prefix_miss: f64,
    /// Prefill: weight of the queue.
    pub prefill_queue: f64,
    /// Decoding: weight of ITL.
    pub decoding_itl: f64,
    /// Decoding: weight of tokens per second.
    pub decoding_tps: f64,
    /// Decoding: weight of the queue.
    pub decoding_queue: f64,
    /// TTFT that counts as 1, in seconds.
    pub ttft_reference: f64,
    /// ITL that counts as 1, in seconds.
    pub itl_reference: f64,
    /// Tokens per second of a stream that count as fully satisfied.
    pub tps_reference: f64,
    /// Queue that counts as 1, prefill.
    pub prefill_queue_reference: f64,
    /// Queue that counts as 1, decoding.
    pub decoding_queue_reference: f64,
}

impl Default for Weights {
    fn default() -> Self {
        Self {
            prefill_ttft: 0.5,
            prefill_prefix_miss: 0.3,
            prefill_queue: 0.2,
            decoding_itl: 0.6,
            decoding_tps: 0.3,
            decoding_queue: 0.1,
            ttft_reference: 0.3,
            itl_reference: 0.05,
            tps_reference: 30.0,
            prefill_queue_reference: 10.0,
            decoding_queue_reference: 15.0,
        }
    }
}

/// Expected output tokens above which `Weighted` moves a tenth of its weight from ITL to tokens per second.
const LONG_OUTPUT: u32 = 1000;
/// What moves then.
const LONG_OUTPUT_SHIFT: f64 = 0.1;

/// `PrefixAffinity`: share of the prompt's blocks that makes a holder attractive.
const ATTRACTIVE: f64 = 0.5;
/// `PrefixAffinity`: load is uneven where the most and the least requests in flight differ by more than this …
const UNEVEN_BY: f64 = 32.0;
/// … and by more than this ratio. All three as the cache-aware policy of sgl's router has them.
const UNEVEN_TIMES: f64 = 1.1;

/// What a pick needs to know of the request and the moment.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// How many of the prompt's blocks each endpoint of the pool holds; empty: none does.
    pub depths: &'a [u32],
    /// The prompt's blocks.
    pub blocks: usize,
    /// The phase that is chosen for.
    pub phase: Phase,
    /// Who is chosen reads the prompt, be it all it does or not.
    pub reads: bool,
    /// Output tokens the client expects, if it said so.
    pub expected_output_tokens: Option<u32>,
    /// Time since the process's epoch.
    pub now: Duration,
}

/// The turn of `RoundRobin`, one for each phase; shared by all workers.
#[derive(Debug, Default)]
pub struct Turns([AtomicUsize; 2]);

impl Turns {
    fn next(&self, phase: Phase) -> usize {
        self.0[phase as usize].fetch_add(1, Ordering::Relaxed)
    }
}

impl Policy {
    /// The policy's name in configuration, logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Predictive(_) => "Predictive",
            Self::Weighted(_) => "Weighted",
            Self::RoundRobin => "RoundRobin",
            Self::LeastRequest => "LeastRequest",
            Self::PowerOfTwo => "PowerOfTwo",
            Self::PrefixAffinity => "PrefixAffinity",
        }
    }

    /// Chooses among `candidates`, which are indices into `pool`. `None` only where there is no candidate.
    pub fn pick(
        &self,
        pool: &[Endpoint],
        candidates: &[usize],
        occasion: Occasion<'_>,
        turns: &Turns,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        match candidates {
            [] => return None,
            [only] => return Some(*only),
            _ => {}
        }
        let load = |i: &usize| f64::from(pool[*i].state.in_flight_all());
        match self {
            Self::RoundRobin => Some(candidates[turns.next(occasion.phase) % candidates.len()]),
            Self::LeastRequest | Self::Predictive(_) => lowest(candidates, rng, load),
            Self::PowerOfTwo => {
                let first = rng.random_range(0..candidates.len());
                let second = rng.random_range(0..candidates.len() - 1);
                let second = second + usize::from(second >= first);
                lowest(&[candidates[first], candidates[second]], rng, load)
            }
            Self::PrefixAffinity => {
                let holder = occasion.holder(pool, candidates);
                holder.or_else(|| lowest(candidates, rng, load))
            }
            Self::Weighted(weights) => {
                let neutral = Neutral::of(pool, candidates, occasion.now);
                lowest(candidates, rng, |i| weights.score(&pool[*i].state, &neutral, occasion))
            }
        }
    }
}

impl Occasion<'_> {
    /// The candidate that holds the most of a prompt that is to be read, if it holds enough and load is even.
    fn holder(&self, pool: &[Endpoint], candidates: &[usize]) -> Option<usize> {
        let depth = |i: usize| self.depths.get(i).copied().unwrap_or_default();
        let load = |i: usize| pool[i].state.in_flight_all();
        let best = candidates
            .iter()
            .copied()
            .max_by_key(|i| (depth(*i), std::cmp::Reverse(load(*i))))
            .filter(|best| f64::from(depth(*best)) > ATTRACTIVE * self.blocks as f64)?;
        let loads = candidates.iter().map(|i| f64::from(load(*i)));
        let (least, most) = loads.fold((f64::MAX, 0.0_f64), |(a, b), l| (a.min(l), b.max(l)));
        let uneven = most - least > UNEVEN_BY && most > UNEVEN_TIMES * least;
        (self.reads && !uneven).then_some(best)
    }
}

/// The candidate with the lowest score; ties go to a random one, so that routers do not herd.
fn lowest(
    candidates: &[usize],
    rng: &mut impl Rng,
    mut score: impl FnMut(&usize) -> f64,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    let mut ties = 1_u32;
    for &candidate in candidates {
        let score = score(&candidate);
        match best {
            Some((_, lowest)) if score > lowest => {}
            #[expect(clippy::float_cmp, reason = "an exact tie is what is meant")]
            Some((_, lowest)) if score == lowest => {
                ties += 1;
                if rng.random_range(0..ties) == 0 {
                    best = Some((candidate, score));
                }
            }
            _ => {
                ties = 1;
                best = Some((candidate, score));
            }
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// What stands in for a signal an endpoint lacks: the mean of those that have it, so that not knowing is
/// neither good nor bad. Where nobody has it, the factor is the same for all.
#[derive(Clone, Copy, Debug, Default)]
struct Neutral {
    ttft: f64,
    itl: f64,
    tokens_per_second: f64,
    prefix_hit_rate: f64,
}

impl Neutral {
    fn of(pool: &[Endpoint], candidates: &[usize], now: Duration) -> Self {
        let mut means = [Mean::default(); 4];
        for &i in candidates {
            let signals = &pool[i].state.signals;
            let known = [
                signals.ttft.get(now),
                signals.itl.get(now),
                signals.tokens_per_second(now),
                signals.prefix_hit_rate.get(now),
            ];
            means.iter_mut().zip(known).for_each(|(mean, known)| mean.add(known));
        }
        let [ttft, itl, tokens_per_second, prefix_hit_rate] = means.map(Mean::value);
        Self { ttft, itl, tokens_per_second, prefix_hit_rate }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Mean {
    sum: f64,
    weight: f64,
}

impl Mean {
    fn add(&mut self, known: Option<Weighed>) {
        if let Some(known) = known {
            self.sum += known.value * known.weight;
            self.weight += known.weight;
        }
    }

    fn value(self) -> f64 {
        if self.weight > 0.0 { self.sum / self.weight } else { 0.0 }
    }
}

/// A signal as far as it still counts, and the neutral value for the rest.
fn blend(known: Option<Weighed>, neutral: f64) -> f64 {
    known.map_or(neutral, |known| neutral + known.weight * (known.value - neutral))
}

impl Weights {
    /// The published score; lower is better. Factors are ratios and are not clamped above, so that overloaded
    /// endpoints still differ.
    fn score(&self, state: &EndpointState, neutral: &Neutral, occasion: Occasion<'_>) -> f64 {
        match occasion.phase {
            Phase::Prefill => self.prefill_score(state, neutral, occasion.now),
            Phase::Decoding => self.decoding_score(state, neutral, occasion),
        }
    }

    fn prefill_score(&self, state: &EndpointState, neutral: &Neutral, now: Duration) -> f64 {
        let signals = &state.signals;
        let ttft = blend(signals.ttft.get(now), neutral.ttft);
        let hit_rate = blend(signals.prefix_hit_rate.get(now), neutral.prefix_hit_rate);
        self.prefill_ttft * ttft / self.ttft_reference
            + self.prefill_prefix_miss * (1.0 - hit_rate)
            + self.prefill_queue * state.queue(now) / self.prefill_queue_reference
    }

    fn decoding_score(
        &self,
        state: &EndpointState,
        neutral: &Neutral,
        occasion: Occasion<'_>,
    ) -> f64 {
        let now = occasion.now;
        let long = occasion.expected_output_tokens.is_some_and(|tokens| tokens > LONG_OUTPUT);
        let shift = if long { LONG_OUTPUT_SHIFT.min(self.decoding_itl) } else { 0.0 };
        let itl = blend(state.signals.itl.get(now), neutral.itl);
        let tps = blend(state.signals.tokens_per_second(now), neutral.tokens_per_second);
        (self.decoding_itl - shift) * itl / self.itl_reference
            + (self.decoding_tps + shift) * (1.0 - tps / self.tps_reference).max(0.0)
            + self.decoding_queue * state.queue(now) / self.decoding_queue_reference
    }
}

#[cfg(test)]
mod tests;
