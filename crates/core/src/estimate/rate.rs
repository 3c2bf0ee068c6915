//! Rates of events, decayed exponentially.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::estimate::fade::{fade, nanos, since};

/// The time constant of a rate, in seconds. Half of it makes rates jump with single bursts, double makes them follow a
/// change of load later than the queues that the change fills. Tuned in the lab, no sensitivity measured.
const TIME_CONSTANT: f64 = 5.0;
/// The shortest time, in seconds, over which a first rate is taken. Without it a single event would look like many per
/// second. Tuned in the lab, no sensitivity measured.
const MIN_TIME: f64 = 2.0;
/// With a smaller share of the sums left, the events before are forgotten and the rate begins anew: four time
/// constants.
const FORGOTTEN: f64 = 0.02;
/// The instant, in nanoseconds, that stands for "never".
const NEVER: u64 = u64::MAX;

/// The recent rates of `N` amounts that are counted together, per second. A lost race loses one addition.
#[derive(Debug)]
pub struct DecayedRate<const N: usize> {
    sums: [AtomicU64; N],
    at: AtomicU64,
    /// When the first amount was counted, or the first after a long silence, in nanoseconds.
    began: AtomicU64,
}

impl<const N: usize> Default for DecayedRate<N> {
    fn default() -> Self {
        let sums = [const { AtomicU64::new(0) }; N];
        Self { sums, at: AtomicU64::new(0), began: AtomicU64::new(NEVER) }
    }
}

impl<const N: usize> DecayedRate<N> {
    /// Counts these amounts.
    pub fn add(&self, amounts: [f64; N], now: Duration) {
        let left = self.left(now);
        if self.began.load(Ordering::Relaxed) == NEVER || left < FORGOTTEN {
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

    /// The rates per second.
    #[must_use]
    pub fn rates(&self, now: Duration) -> [f64; N] {
        let seconds = since(self.began.load(Ordering::Relaxed), now).max(MIN_TIME);
        // Divided by the whole time constant, the rate of what began a moment ago would be next to nothing.
        let counted = TIME_CONSTANT * (1.0 - fade(seconds / TIME_CONSTANT));
        let per_second = self.left(now) / counted;
        std::array::from_fn(|i| f64::from_bits(self.sums[i].load(Ordering::Relaxed)) * per_second)
    }

    /// The share of the sums that is left by now.
    fn left(&self, now: Duration) -> f64 {
        fade(since(self.at.load(Ordering::Relaxed), now) / TIME_CONSTANT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rate_is_what_came_in_the_last_seconds() {
        let lately = DecayedRate::default();
        assert!(lately.rates(s(5)) == [0.0; 2]);
        let tenth = |i: u64| s(5) + Duration::from_millis(100 * i);
        (0..1000).for_each(|i| lately.add([0.03, 0.5], tenth(i)));
        let [one, other] = lately.rates(tenth(1000));
        assert!((one - 0.3).abs() < 0.03 && (other - 5.0).abs() < 0.5, "{one} {other}");
        assert!(lately.rates(s(140))[0] < 0.01);
    }

    #[test]
    fn a_rate_is_known_soon_after_it_began() {
        let lately = DecayedRate::default();
        let tenth = |i: u64| Duration::from_millis(3_600_000 + 100 * i);
        (0..30).for_each(|i| lately.add([0.07], tenth(i)));
        let [rate] = lately.rates(tenth(30));
        assert!((rate - 0.7).abs() < 0.07, "{rate}");
        let later = |i| tenth(i) + Duration::from_secs(3600);
        (0..30).for_each(|i| lately.add([0.07], later(i)));
        let [again] = lately.rates(later(30));
        assert!((again - 0.7).abs() < 0.07, "after an idle hour too: {again}");
        let chance = DecayedRate::default();
        chance.add([1.0], tenth(0));
        assert!(chance.rates(tenth(0))[0] < 1.0, "one is no rate");
    }
}
