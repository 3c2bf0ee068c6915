//! Rates of events, decayed exponentially.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::endpoint::signals::{NEVER, NOTHING_LEFT, RATE_OVER, RATE_OVER_AT_LEAST};
use crate::estimate::fade::{fade, nanos, since};

/// How much of `N` things that belong together comes in a second, lately. A lost race loses one addition.
#[derive(Debug)]
pub struct DecayedRate<const N: usize> {
    sums: [AtomicU64; N],
    at: AtomicU64,
    /// When the first came, or the first after a long silence.
    began: AtomicU64,
}

impl<const N: usize> Default for DecayedRate<N> {
    fn default() -> Self {
        let sums = [const { AtomicU64::new(0) }; N];
        Self { sums, at: AtomicU64::new(0), began: AtomicU64::new(NEVER) }
    }
}

impl<const N: usize> DecayedRate<N> {
    /// So much more came of each.
    pub fn add(&self, amounts: [f64; N], now: Duration) {
        let left = self.left(now);
        if self.began.load(Ordering::Relaxed) == NEVER || left < NOTHING_LEFT {
            self.began.store(nanos(now), Ordering::Relaxed);
        }
        for (sum, amount) in self.sums.iter().zip(amounts) {
            let more = f64::from_bits(sum.load(Ordering::Relaxed)) * left + amount;
            if more.is_finite() {
                sum.store(more.to_bits(), Ordering::Relaxed);
            }
        }
        self.at.store(nanos(now), Ordering::Relaxed);
    }

    /// What comes of each in a second. *Why not by the time constant alone*: who began a moment ago would seem to do
    /// next to nothing.
    #[must_use]
    pub fn rates(&self, now: Duration) -> [f64; N] {
        let seconds = since(self.began.load(Ordering::Relaxed), now).max(RATE_OVER_AT_LEAST);
        let counted = RATE_OVER * (1.0 - fade(seconds / RATE_OVER));
        let per_second = self.left(now) / counted;
        std::array::from_fn(|i| f64::from_bits(self.sums[i].load(Ordering::Relaxed)) * per_second)
    }

    /// How much of the sums is left by now.
    fn left(&self, now: Duration) -> f64 {
        fade(since(self.at.load(Ordering::Relaxed), now) / RATE_OVER)
    }
}
