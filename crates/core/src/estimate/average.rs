//! A moving average that any thread may update and read without a lock, and that fades with age.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::estimate::fade::{FADE, fade, nanos, since};

/// The bits that stand for "no value yet": those of a NaN, which is never stored.
const NO_VALUE: u64 = u64::MAX;

/// The least weight of one observation against the average, so an average over the last ten or so. Half of it follows a
/// change half as fast; double lets single outliers through. Tuned in the lab, no sensitivity measured.
const MIN_GAIN: f64 = 0.1;

/// A value with its weight of evidence, in 0..=1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weighed {
    /// The value, in the unit of what was observed.
    pub value: f64,
    /// The weight: 1 when just observed, falling towards 0 with age.
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
        Self { value: AtomicU64::new(NO_VALUE), at: AtomicU64::new(0) }
    }
}

impl Average {
    /// Adds one observation. Values that are not finite are ignored.
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

    /// The average, however old.
    #[must_use]
    pub fn latest(&self) -> Option<f64> {
        let bits = self.value.load(Ordering::Relaxed);
        (bits != NO_VALUE).then(|| f64::from_bits(bits))
    }

    /// The average times its weight; 0 if nothing is known.
    #[must_use]
    pub fn faded(&self, now: Duration) -> f64 {
        self.get(now).map_or(0.0, |it| it.value * it.weight)
    }

    /// Replaces the average by `value`, which is an average or gauge already.
    pub fn set(&self, value: f64, now: Duration) {
        if value.is_finite() {
            self.value.store(value.to_bits(), Ordering::Relaxed);
            self.at.store(nanos(now), Ordering::Relaxed);
        }
    }

    /// The average and its weight at `now`; `None` if nothing was observed.
    #[must_use]
    pub fn get(&self, now: Duration) -> Option<Weighed> {
        let value = self.latest()?;
        let age = since(self.at.load(Ordering::Relaxed), now);
        Some(Weighed { value, weight: fade(age / FADE.as_secs_f64()) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn unknown_is_none_and_never_zero() {
        assert_eq!(Average::default().get(s(5)), None);
    }

    #[test]
    fn it_follows_what_it_sees_and_fades_with_age() {
        let average = Average::default();
        average.observe(1.0, s(0));
        for _ in 0..50 {
            average.observe(3.0, s(1));
        }
        let fresh = average.get(s(1)).expect("observed");
        assert!((fresh.value - 3.0).abs() < 0.05 && fresh.weight > 0.99, "{fresh:?}");
        let stale = average.get(s(61)).expect("observed");
        assert!(stale.weight < 0.01, "{stale:?}");
        average.observe(9.0, s(61));
        assert!(
            (average.get(s(61)).expect("observed").value - 9.0).abs() < 0.1,
            "after silence: new"
        );
    }

    #[test]
    fn garbage_is_ignored() {
        let average = Average::default();
        average.observe(f64::NAN, s(0));
        average.set(f64::INFINITY, s(0));
        assert_eq!(average.get(s(0)), None);
    }
}
