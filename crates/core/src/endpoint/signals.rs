//! What is known of an endpoint right now, from which source, and how much it still counts.
//!
//! Two sources: what the router sees itself (exact, from its own requests) and what the endpoint publishes
//! (late by up to a scrape interval, but of everybody's requests). Both fade with age towards "unknown", so an
//! endpoint that was slow a minute ago is tried again, and a scrape that stopped makes nobody unavailable.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Age at which an observation counts 1/e.
pub const FADE: Duration = Duration::from_secs(10);

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

/// Bits of "no value yet".
const NONE: u64 = u64::MAX;

/// Least gain of one observation.
const MIN_GAIN: f64 = 0.1;

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

/// Time constant of a rate, in seconds.
const RATE_OVER: f64 = 5.0;
/// A rate is of no less time than this, in seconds: what comes first may be chance.
const RATE_OVER_AT_LEAST: f64 = 2.0;
/// With less of it left, what came before is forgotten.
const NOTHING_LEFT: f64 = 0.02;
/// Never, as nanoseconds.
const NEVER: u64 = u64::MAX;

/// How much of `N` things that belong together comes in a second, lately. A lost race loses one addition.
#[derive(Debug)]
pub struct Decayed<const N: usize> {
    sums: [AtomicU64; N],
    at: AtomicU64,
    /// When the first came, or the first after a long silence.
    began: AtomicU64,
}

impl<const N: usize> Default for Decayed<N> {
    fn default() -> Self {
        let sums = [const { AtomicU64::new(0) }; N];
        Self { sums, at: AtomicU64::new(0), began: AtomicU64::new(NEVER) }
    }
}

impl<const N: usize> Decayed<N> {
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

/// How much counts of what is `age` time constants old: e^−age, by its limit (1 + age/16)^−16, which is off by no more
/// than 0.017. *Why*: a plan fades some hundred values, and this one costs a tenth of the exact one.
fn fade(age: f64) -> f64 {
    let once = 1.0 / (1.0 + age / 16.0);
    once.powi(16)
}

/// Saturating nanoseconds: 584 years of uptime.
pub(crate) fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds from `at`, in nanoseconds, until now; 0 if that is ahead.
#[expect(clippy::cast_precision_loss, reason = "a microsecond off after 285 years")]
fn since(at: u64, now: Duration) -> f64 {
    nanos(now).saturating_sub(at) as f64 * 1e-9
}

/// The signals of one endpoint that are not its in-flight ledger.
#[derive(Debug, Default)]
pub struct Signals {
    /// Seconds from the request's departure to its first token, or of a whole prefill leg.
    pub ttft: Average,
    /// Seconds between tokens of one stream.
    pub itl: Average,
    /// Prompt tokens that it reads in a second, those ahead in its queue included.
    pub prefill_speed: Average,
    /// Share of prompt tokens found in the prefix cache, 0..=1; scraped.
    pub prefix_hit_rate: Average,
    /// Share of KV blocks in use, 0..=1; scraped.
    pub kv_use: Average,
    /// Requests running, by the endpoint's word.
    pub running: Average,
    /// Requests waiting, by the endpoint's word.
    pub waiting: Average,
    /// Requests there that are not this router's, as of the last scrape.
    pub others: Average,
    /// KV tokens there is room for; scraped.
    pub kv_capacity: Average,
}

impl Signals {
    /// Tokens per second of one stream: the other face of the ITL.
    #[must_use]
    pub fn tokens_per_second(&self, now: Duration) -> Option<Weighed> {
        let itl = self.itl.get(now)?;
        (itl.value > 0.0).then(|| Weighed { value: 1.0 / itl.value, weight: itl.weight })
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
        assert!(Signals::default().tokens_per_second(s(5)).is_none());
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
    fn a_rate_is_what_came_in_the_last_seconds() {
        let lately = Decayed::default();
        assert!(lately.rates(s(5)) == [0.0; 2]);
        let tenth = |i: u64| s(5) + Duration::from_millis(100 * i);
        (0..1000).for_each(|i| lately.add([0.03, 0.5], tenth(i)));
        let [one, other] = lately.rates(tenth(1000));
        assert!((one - 0.3).abs() < 0.03 && (other - 5.0).abs() < 0.5, "{one} {other}");
        assert!(lately.rates(s(140))[0] < 0.01);
    }

    #[test]
    fn a_rate_is_known_soon_after_it_began() {
        let lately = Decayed::default();
        let tenth = |i: u64| Duration::from_millis(3_600_000 + 100 * i);
        (0..30).for_each(|i| lately.add([0.07], tenth(i)));
        let [rate] = lately.rates(tenth(30));
        assert!((rate - 0.7).abs() < 0.07, "{rate}");
        let later = |i| tenth(i) + Duration::from_secs(3600);
        (0..30).for_each(|i| lately.add([0.07], later(i)));
        let [again] = lately.rates(later(30));
        assert!((again - 0.7).abs() < 0.07, "after an idle hour too: {again}");
        let chance = Decayed::default();
        chance.add([1.0], tenth(0));
        assert!(chance.rates(tenth(0))[0] < 1.0, "one is no rate");
    }

    #[test]
    fn what_ages_fades_as_by_the_exponential() {
        for age in [0.0, 0.01, 0.5, 1.0, 2.0, 4.0, 30.0_f64] {
            assert!((fade(age) - (-age).exp()).abs() < 0.018, "{age}: {}", fade(age));
        }
    }

    #[test]
    fn garbage_is_ignored() {
        let average = Average::default();
        average.observe(f64::NAN, s(0));
        average.set(f64::INFINITY, s(0));
        assert_eq!(average.get(s(0)), None);
    }
}
