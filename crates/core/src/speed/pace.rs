//! One endpoint's models of speed, and the work that waits there.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::estimate::bias::Bias;
use crate::estimate::rate::DecayedRate;
use crate::speed::busy_time::{BusyTime, RecentLoad};
use crate::speed::models::{Models, OwnModels};
use crate::speed::virtual_queue::{QueueSlot, VirtualQueue};
use crate::speed::work::{PromptWork, StreamLoad};

/// One endpoint's models of speed, and the work that waits there.
#[derive(Debug, Default)]
pub struct Pace {
    /// The three models of its speed.
    pub models: OwnModels,
    /// The factor by which forecasts of its ITL are off.
    pub itl_bias: Bias,
    /// The prompts that it has to read.
    pub prompts: VirtualQueue<4>,
    /// The KV caches that it has to fetch.
    pub transfers: VirtualQueue<2>,
    /// Per second: seconds and steps of prefill, and prompts that were sent to it.
    lately: DecayedRate<3>,
    /// When a sample from its streams was last learned, in nanoseconds.
    learned_at: AtomicU64,
}

/// A prompt's place in an endpoint's queue.
#[derive(Clone, Copy, Debug)]
pub struct PromptPlace(QueueSlot<4>);

/// A KV cache's place in an endpoint's queue of transfers.
#[derive(Clone, Copy, Debug)]
pub struct TransferPlace(QueueSlot<2>);

impl Pace {
    /// Notes that a prompt is sent to this endpoint.
    pub fn prompt_sent(&self, work: PromptWork, pool: &Models, now: Duration) -> PromptPlace {
        let seconds = self.models.speed_or(&pool.speed()).prefill(work);
        self.lately.add([0.0, 0.0, 1.0], now);
        PromptPlace(self.prompts.enter(work.features(), seconds, now))
    }

    /// Notes that the prompt was read, as its first token came, and learns from it.
    pub fn prompt_read(&self, prompt: &PromptPlace, pool: &Models, now: Duration) {
        if let Some(sample) = self.prompts.done(&prompt.0, now) {
            self.models.prefill.learn(&pool.prefill, &sample.work, sample.seconds);
            self.has_read(sample.seconds, now);
        }
    }

    fn has_read(&self, seconds: f64, now: Duration) {
        self.lately.add([seconds, 1.0, 0.0], now);
    }

    /// Notes that the prompt will not be read.
    pub fn prompt_given_up(&self, prompt: &PromptPlace) {
        self.prompts.given_up(&prompt.0);
    }

    /// Notes that a prompt is sent whose first token will not be seen.
    pub fn prompt_passes(&self, work: PromptWork, pool: &Models, now: Duration) {
        let seconds = self.models.speed_or(&pool.speed()).prefill(work);
        self.lately.add([0.0, 0.0, 1.0], now);
        self.has_read(seconds, now);
        self.prompts.passes(seconds, now);
    }

    /// Notes that this endpoint begins to fetch a KV cache.
    pub fn transfer_sent(&self, tokens: f64, pool: &Models, now: Duration) -> TransferPlace {
        let seconds = self.models.speed_or(&pool.speed()).transfer(tokens);
        TransferPlace(self.transfers.enter([1.0, tokens / 1e3], seconds, now))
    }

    /// Notes that the KV cache arrived, as the first token after it came, and learns from it. That token took one
    /// `step`, in seconds.
    pub fn transferred(&self, transfer: &TransferPlace, step: f64, pool: &Models, now: Duration) {
        if let Some(sample) = self.transfers.done(&transfer.0, now) {
            let seconds = (sample.seconds - step).max(sample.seconds / 10.0);
            self.models.transfer.learn(&pool.transfer, &sample.work, seconds);
        }
    }

    /// Notes that the KV cache will not arrive.
    pub fn transfer_given_up(&self, transfer: &TransferPlace) {
        self.transfers.given_up(&transfer.0);
    }

    /// What the endpoint does per second, lately.
    #[must_use]
    pub fn lately(&self, now: Duration) -> RecentLoad {
        let [seconds, steps, arrivals] = self.lately.rates(now);
        RecentLoad { reading: BusyTime { seconds, steps }.capped(), arrivals }
    }

    /// Learns from tokens that came `gap` seconds apart for `window` seconds, beside `load` and `reading`: the ITL
    /// without the latter is the sample.
    pub fn streamed(
        &self,
        load: StreamLoad,
        (gap, window): (f64, f64),
        reading: BusyTime,
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

/// The least time, in nanoseconds, between two samples from an endpoint's streams. All streams of an endpoint have the
/// same ITL, so one of them now and then is enough; double learns a change of speed half as fast.
const LEARN_EVERY: u64 = 50_000_000;

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
        let read = pace.prompts.busy(seconds(now));
        assert!((read.seconds / 8.0 - 1.0).abs() < 0.05 && (read.steps - 40.0).abs() < 0.1);
    }

    #[test]
    fn a_window_in_which_a_long_prompt_was_given_up_tells_nothing() {
        let read = |seconds| BusyTime { seconds, steps: 1.0 };
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
            let half = BusyTime { seconds: 0.5, steps: 10.0 };
            let gap = half.beside(alone);
            pace.streamed(load, (gap, 1.0), half, &pool, seconds(f64::from(i)));
        }
        let load = StreamLoad { streams: 20.0, tokens: 20e3 };
        let step = pace.models.speed_or(&pool.speed()).step(load);
        assert!((step / 0.0088 - 1.0).abs() < 0.05, "{step}");
    }
}
