//! `Weighted`: the published formula, a weighted sum of factors per phase; the lowest score wins.

use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::endpoint::state::EndpointState;
use crate::estimate::average::Weighed;
use crate::phase::Phase;
use crate::plan::occasion::Occasion;

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

/// The published weights and reference values. The document's API has the same defaults; a test of the router compares
/// them.
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

/// The expected output tokens above which the published formula moves weight from ITL to tokens per second.
const LONG_OUTPUT: u32 = 1000;

/// The weight that it moves.
const LONG_OUTPUT_SHIFT: f64 = 0.1;

/// The values that stand in for signals an endpoint lacks: the means over the candidates that have them, so that an
/// unknown signal is neither good nor bad. If no candidate has a signal, its factor is the same for all.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Neutral {
    ttft: f64,
    itl: f64,
    tokens_per_second: f64,
    prefix_hit_rate: f64,
}

impl Neutral {
    pub(crate) fn of(pool: &[Endpoint], candidates: &[usize], now: Duration) -> Self {
        let mut means = [WeightedMean::default(); 4];
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
        let [ttft, itl, tokens_per_second, prefix_hit_rate] = means.map(WeightedMean::value);
        Self { ttft, itl, tokens_per_second, prefix_hit_rate }
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct WeightedMean {
    sum: f64,
    weight: f64,
}

impl WeightedMean {
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

/// A signal blended with its neutral value by the signal's weight.
fn blend(known: Option<Weighed>, neutral: f64) -> f64 {
    known.map_or(neutral, |known| neutral + known.weight * (known.value - neutral))
}

impl Weights {
    /// The published score of an endpoint; lower is better. Factors are ratios without an upper limit, so overloaded
    /// endpoints still differ.
    pub(crate) fn score(
        &self,
        state: &EndpointState,
        neutral: &Neutral,
        occasion: Occasion<'_>,
    ) -> f64 {
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
