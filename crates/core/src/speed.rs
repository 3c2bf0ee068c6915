//! How fast an endpoint is, as models that are learned from its answers, and what is in the lines before it.
//!
//! Three costs in seconds, each linear in a few features:
//! - a prompt: `a + b·uncached + c·uncached·(cached + uncached/2) + d·streams beside it`,
//! - the time between tokens: `d + e·streams + f·KV tokens`, while no prompt is read beside them,
//! - the transfer of a KV cache: `g + h·tokens`.
//!
//! An endpoint that has shown too little yet is taken to be like the others of its route, and those like
//! the prior: an 8B model on a current GPU. The prior only has to be good enough for the first handful of requests.

pub mod line;

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::endpoint::signals::Decayed;
use crate::estimate::bias::Bias;
use crate::estimate::rls::{Learner, Likeness, predict};
use crate::speed::line::{Busy, Line, Place};

/// Seconds for: a step that reads a prompt, 1,000 tokens of it, a million pairs of tokens that attend to each other,
/// ten streams beside it.
const PREFILL: [f64; 4] = [0.007, 0.02, 0.0008, 0.001];
/// Seconds for: a step, ten streams in it, 100,000 KV tokens that they read.
const STEP: [f64; 3] = [0.008, 0.000_3, 0.004];
/// Seconds for: a transfer, 1,000 tokens of it.
const TRANSFER: [f64; 2] = [0.004, 0.006];

/// A prompt as work: what has to be computed of it, and beside what.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PromptWork {
    /// Tokens to compute.
    pub uncached: f64,
    /// Tokens found in the prefix cache.
    pub cached: f64,
    /// Streams of the same engine.
    pub streams: f64,
}

impl PromptWork {
    fn features(self) -> [f64; 4] {
        let pairs = self.uncached * (self.cached + self.uncached / 2.0);
        [1.0, self.uncached / 1e3, pairs / 1e6, self.streams / 10.0]
    }
}

/// Streams as load.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StreamLoad {
    /// How many.
    pub streams: f64,
    /// KV tokens they hold together.
    pub tokens: f64,
}

impl StreamLoad {
    fn features(self) -> [f64; 3] {
        [1.0, self.streams / 10.0, self.tokens / 1e5]
    }
}

/// The three models of all endpoints of a route together.
#[derive(Debug)]
pub struct Models {
    /// Seconds of a prompt.
    pub prefill: Learner<4>,
    /// Seconds between tokens.
    pub step: Learner<3>,
    /// Seconds of a transfer.
    pub transfer: Learner<2>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            prefill: Learner::new(PREFILL),
            // Whoever shares the machine makes all steps slower for a while.
            step: Learner::new(STEP).drifting(),
            transfer: Learner::new(TRANSFER),
        }
    }
}

/// The coefficients of all three at one moment: cheap to copy and to use many times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    prefill: [f64; 4],
    step: [f64; 3],
    transfer: [f64; 2],
}

impl Models {
    /// What is believed, with the latest word where nothing is believed yet.
    #[must_use]
    pub fn speed(&self) -> Speed {
        Speed {
            prefill: self.prefill.latest(),
            step: self.step.latest(),
            transfer: self.transfer.latest(),
        }
    }
}

/// The three models of one endpoint, as far as it differs from the others.
#[derive(Debug)]
pub struct OwnModels {
    /// Seconds of a prompt.
    pub prefill: Likeness<4>,
    /// Seconds between tokens.
    pub step: Likeness<3>,
    /// Seconds of a transfer.
    pub transfer: Likeness<2>,
}

impl Default for OwnModels {
    fn default() -> Self {
        Self {
            prefill: Likeness::new(PREFILL),
            step: Likeness::new(STEP).drifting(),
            transfer: Likeness::new(TRANSFER),
        }
    }
}

impl OwnModels {
    /// Its speed, where that of all together is `others`.
    #[must_use]
    pub fn speed_or(&self, others: &Speed) -> Speed {
        Speed {
            prefill: self.prefill.coefficients(&others.prefill),
            step: self.step.coefficients(&others.step),
            transfer: self.transfer.coefficients(&others.transfer),
        }
    }
}

impl Speed {
    /// Seconds that a prompt takes once it is its turn.
    #[must_use]
    pub fn prefill(&self, work: PromptWork) -> f64 {
        predict(&self.prefill, &work.features())
    }

    /// Seconds between tokens while no prompt is read beside them.
    #[must_use]
    pub fn step(&self, load: StreamLoad) -> f64 {
        predict(&self.step, &load.features())
    }

    /// Seconds that a KV cache takes to move.
    #[must_use]
    pub fn transfer(&self, tokens: f64) -> f64 {
        predict(&self.transfer, &[1.0, tokens / 1e3])
    }
}

/// What is known of one endpoint's speed, and what waits there.
#[derive(Debug, Default)]
pub struct Pace {
    /// Its models.
    pub models: OwnModels,
    /// How far forecasts of the time between its tokens are off.
    pub itl_bias: Bias,
    /// Prompts that it reads.
    pub prompts: Line<4>,
    /// KV caches that it fetches.
    pub transfers: Line<2>,
    /// In each second: seconds and steps in which it read prompts, and prompts that were sent to it.
    lately: Decayed<3>,
    /// When its streams were last learned from, in nanoseconds.
    learned_at: AtomicU64,
}

/// What an endpoint does in each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Lately {
    /// How much it reads prompts.
    pub reading: Reading,
    /// Prompts that are sent to it.
    pub arrivals: f64,
}

/// How much of its time an endpoint reads prompts. A step that reads one gives each stream beside it a token too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Reading {
    /// Seconds.
    pub seconds: f64,
    /// Steps.
    pub steps: f64,
}

impl Reading {
    /// Seconds between tokens of the streams beside it, which are `step` apart while nothing is read; `self` is of one
    /// second. In the time that is left steps follow at their own pace.
    #[must_use]
    pub fn beside(self, step: f64) -> f64 {
        let left = (1.0 - self.seconds).max(0.0);
        1.0 / (self.steps + left / step).max(LEAST_TOKENS)
    }

    /// So many times as much, as far as there is time.
    #[must_use]
    pub fn times(self, times: f64) -> Self {
        let times = times.min((MOST_READING / self.seconds).max(1.0));
        Self { seconds: self.seconds * times, steps: self.steps * times }
    }

    /// The contrary: what the steps would take alone, where tokens came `gap` seconds apart for `window` seconds of
    /// which `self` is.
    fn alone(self, gap: f64, window: f64) -> Option<f64> {
        let left = window - self.seconds;
        let steps = window / gap - self.steps;
        // A prompt that was given up takes back what it seemed to read.
        let known = self.seconds >= 0.0 && left > (1.0 - MOST_READING) * window;
        (known && steps >= 1.0).then_some(left / steps)
    }
}

impl std::ops::Sub for Reading {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { seconds: self.seconds - other.seconds, steps: self.steps - other.steps }
    }
}

/// Fewest tokens that a stream is taken to get in a second.
const LEAST_TOKENS: f64 = 0.5;

/// A prompt's place in an endpoint's line.
#[derive(Clone, Copy, Debug)]
pub struct PromptPlace(Place<4>);

/// A KV cache's place in the line to an endpoint.
#[derive(Clone, Copy, Debug)]
pub struct TransferPlace(Place<2>);

impl Pace {
    /// A prompt departs to this endpoint.
    pub fn prompt_sent(&self, work: PromptWork, pool: &Models, now: Duration) -> PromptPlace {
        let seconds = self.models.speed_or(&pool.speed()).prefill(work);
        self.lately.add([0.0, 0.0, 1.0], now);
        PromptPlace(self.prompts.enter(work.features(), seconds, now))
    }

    /// The prompt was read: its first token came.
    pub fn prompt_read(&self, prompt: &PromptPlace, pool: &Models, now: Duration) {
        if let Some(sample) = self.prompts.done(&prompt.0, now) {
            self.models.prefill.learn(&pool.prefill, &sample.work, sample.seconds);
            self.has_read(sample.seconds, now);
        }
    }

    fn has_read(&self, seconds: f64, now: Duration) {
        self.lately.add([seconds, 1.0, 0.0], now);
    }

    /// The prompt is not waited for any more.
    pub fn prompt_given_up(&self, prompt: &PromptPlace) {
        self.prompts.given_up(&prompt.0);
    }

    /// A prompt departs of which nothing will be seen before its whole answer.
    pub fn prompt_passes(&self, work: PromptWork, pool: &Models, now: Duration) {
        let seconds = self.models.speed_or(&pool.speed()).prefill(work);
        self.lately.add([0.0, 0.0, 1.0], now);
        self.has_read(seconds, now);
        self.prompts.passes(seconds, now);
    }

    /// A KV cache departs to this endpoint.
    pub fn transfer_sent(&self, tokens: f64, pool: &Models, now: Duration) -> TransferPlace {
        let seconds = self.models.speed_or(&pool.speed()).transfer(tokens);
        TransferPlace(self.transfers.enter([1.0, tokens / 1e3], seconds, now))
    }

    /// It is there: the first token after it came, which itself took one step.
    pub fn transferred(&self, transfer: &TransferPlace, step: f64, pool: &Models, now: Duration) {
        if let Some(sample) = self.transfers.done(&transfer.0, now) {
            let seconds = (sample.seconds - step).max(sample.seconds / 10.0);
            self.models.transfer.learn(&pool.transfer, &sample.work, seconds);
        }
    }

    /// The KV cache is not waited for any more.
    pub fn transfer_given_up(&self, transfer: &TransferPlace) {
        self.transfers.given_up(&transfer.0);
    }

    /// What it does in each second, of late.
    #[must_use]
    pub fn lately(&self, now: Duration) -> Lately {
        let [seconds, steps, arrivals] = self.lately.rates(now);
        Lately { reading: Reading { seconds: seconds.min(MOST_READING), steps }, arrivals }
    }

    /// How much it has read so far.
    #[must_use]
    pub fn has_read_so_far(&self, now: Duration) -> Reading {
        let Busy { seconds, steps } = self.prompts.busy(now);
        Reading { seconds, steps }
    }

    /// Tokens came `gap` seconds one after the other for `window` seconds, beside `load` and `reading`: what they
    /// would have taken without the latter is learned. All streams of an endpoint tell the same, so one of them now
    /// and then is enough.
    pub fn streamed(
        &self,
        load: StreamLoad,
        (gap, window): (f64, f64),
        reading: Reading,
        pool: &Models,
        now: Duration,
    ) {
        let nanos = u64::try_from(now.as_nanos()).unwrap_or(u64::MAX);
        let last = self.learned_at.load(Ordering::Relaxed);
        if nanos.saturating_sub(last) < LEARN_EVERY {
            return;
        }
        self.learned_at.store(nanos, Ordering::Relaxed);
        let Some(alone) = reading.alone(gap, window) else { return };
        self.models.step.learn(&pool.step, &load.features(), alone);
    }
}

/// Least nanoseconds between two lessons from an endpoint's streams.
const LEARN_EVERY: u64 = 50_000_000;

/// Share of the time that prompts are taken to need at most: streams go on beside them, however slowly.
const MOST_READING: f64 = 0.95;

#[cfg(test)]
mod tests {
    use super::*;

    fn seconds(seconds: f64) -> Duration {
        Duration::from_secs_f64(1000.0 + seconds)
    }

    #[test]
    fn an_endpoint_is_like_the_others_until_it_has_shown_itself() {
        let pool = Models::default();
        let pace = Pace::default();
        let work = PromptWork { uncached: 2000.0, ..PromptWork::default() };
        let mut now = 0.0;
        for _ in 0..40 {
            let place = pace.prompt_sent(work, &pool, seconds(now));
            now += 0.2;
            pace.prompt_read(&place, &pool, seconds(now));
            now += 0.1;
        }
        let other = Pace::default();
        let speed = other.models.speed_or(&pool.speed());
        let own = pace.models.speed_or(&pool.speed());
        assert!((speed.prefill(work) / 0.2 - 1.0).abs() < 0.1, "{}", speed.prefill(work));
        assert!((own.prefill(work) / 0.2 - 1.0).abs() < 0.1);
        let read = pace.has_read_so_far(seconds(now));
        assert!((read.seconds / 8.0 - 1.0).abs() < 0.05 && (read.steps - 40.0).abs() < 0.1);
    }

    #[test]
    fn a_window_in_which_a_long_prompt_was_given_up_tells_nothing() {
        let read = |seconds| Reading { seconds, steps: 1.0 };
        assert_eq!((read(2.0) - read(5.0)).alone(0.05, 0.5), None);
        assert!((read(5.1) - read(5.0)).alone(0.05, 0.5).is_some());
    }

    #[test]
    fn prompts_read_beside_streams_are_not_taken_for_slow_steps() {
        let pool = Models::default();
        let pace = Pace::default();
        for i in 0..200_u32 {
            let load = StreamLoad { streams: f64::from(i % 40), tokens: f64::from(i % 40) * 1e3 };
            let alone = 0.006 + 0.0001 * load.streams + 4e-8 * load.tokens;
            let half = Reading { seconds: 0.5, steps: 10.0 };
            let gap = half.beside(alone);
            pace.streamed(load, (gap, 1.0), half, &pool, seconds(f64::from(i)));
        }
        let load = StreamLoad { streams: 20.0, tokens: 20e3 };
        let step = pace.models.speed_or(&pool.speed()).step(load);
        assert!((step / 0.0088 - 1.0).abs() < 0.05, "{step}");
    }
}
