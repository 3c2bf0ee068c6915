//! A moving average that any thread may update and read without a lock, and that fades with age.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::endpoint::signals::{MIN_GAIN, NONE};
use crate::estimate::fade::{FADE, fade, nanos, since};

/// A value with its weight of evidence, in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// The value, in seconds, a ratio or a count.
    pub value: f64,
    /// 1 just observed, towards 0 as it ages.
    pub weight: f64,
}

/// A moving average that any thread may update and read without a lock.
///
/// *Why this one*: exponentially weighted per observation, with the gain rising after silence (as in
/// linkerd's peak-EWMA), so that the first value after a pause counts fully; two relaxed atomics, where a lost race
/// between two updates loses one sample and nothing else.
#[derive(Debug)]
pub struct Average {
    value: AtomicU64,
    at: AtomicU64,
}

impl Default for Average {
    fn default() -> Self {
        Self { value: AtomicU64::new(NONE), at: AtomicU64::new(0) }
    }
}

impl Average {
    /// Takes one observation in. Values that are not finite are ignored.
    pub fn observe(&self, value: f64, now: Duration) {
        if !value.is_finite() {
            return;
        }
        let updated = match self.get(now) {
            None => value,
            Some(old) => {
                let gain = (1.0 - old.weight).max(MIN_GAIN);
                old.value + gain * (value - old.value)
            }
        };
        self.set(updated, now);
    }

    /// The value as it was observed, however long ago.
    #[must_use]
    pub fn latest(&self) -> Option<f64> {
        let bits = self.value.load(Ordering::Relaxed);
        (bits != NONE).then(|| f64::from_bits(bits))
    }

    /// The value for as much as it still counts; what is not known is 0.
    #[must_use]
    pub fn faded(&self, now: Duration) -> f64 {
        self.get(now).map_or(0.0, |it| it.value * it.weight)
    }

    /// Replaces the average by a value that is already one.
    pub fn set(&self, value: f64, now: Duration) {
        if value.is_finite() {
            self.value.store(value.to_bits(), Ordering::Relaxed);
            self.at.store(nanos(now), Ordering::Relaxed);
        }
    }

    /// The average and how much it still counts at `now`.
    #[must_use]
    pub fn get(&self, now: Duration) -> Option<Weighed> {
        let value = self.latest()?;
        let age = since(self.at.load(Ordering::Relaxed), now);
        Some(Weighed { value, weight: fade(age / FADE.as_secs_f64()) })
    }
}
