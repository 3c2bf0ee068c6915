//! What is known of an endpoint right now, from which source, and how much it still counts.
//!
//! Two sources: what the router sees itself (exact, from its own requests) and what the endpoint publishes
//! (late by up to a scrape interval, but of everybody's requests). Both fade with age towards "unknown", so an
//! endpoint that was slow a minute ago is tried again, and a scrape that stopped makes nobody unavailable.

use std::time::Duration;

use crate::estimate::average::{Average, Weighed};

/// Bits of "no value yet".
pub(crate) const NONE: u64 = u64::MAX;

/// Least gain of one observation.
pub(crate) const MIN_GAIN: f64 = 0.1;

/// Time constant of a rate, in seconds.
pub(crate) const RATE_OVER: f64 = 5.0;
/// A rate is of no less time than this, in seconds: what comes first may be chance.
pub(crate) const RATE_OVER_AT_LEAST: f64 = 2.0;
/// With less of it left, what came before is forgotten.
pub(crate) const NOTHING_LEFT: f64 = 0.02;
/// Never, as nanoseconds.
pub(crate) const NEVER: u64 = u64::MAX;

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
    use crate::estimate::fade::fade;
    use crate::estimate::rate::DecayedRate;

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
