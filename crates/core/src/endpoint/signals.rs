//! The measured state of one endpoint, except its in-flight ledger.
//!
//! There are two sources: the router's own requests, exact and at once, and the metrics that the endpoint publishes,
//! which are late by up to a scrape interval but count everybody's requests. Both fade with age towards "unknown". So
//! an endpoint that was slow a minute ago is tried again, and one whose scrapes fail does not become unavailable.

use std::time::Duration;

use crate::estimate::average::{Average, Weighed};

/// The signals of one endpoint that are not its in-flight ledger.
#[derive(Debug, Default)]
pub struct Signals {
    /// Seconds from sending a request to its first token, or of a whole prefill leg.
    pub ttft: Average,
    /// Seconds between tokens of one stream.
    pub itl: Average,
    /// Prompt tokens that the endpoint reads per second, including those ahead in its queue.
    pub prefill_speed: Average,
    /// Share of prompt tokens found in the prefix cache, 0..=1; scraped.
    pub prefix_hit_rate: Average,
    /// Share of KV blocks in use, 0..=1; scraped.
    pub kv_use: Average,
    /// Running requests; scraped.
    pub running: Average,
    /// Waiting requests; scraped.
    pub waiting: Average,
    /// Requests at the endpoint that are not this router's, as of the last scrape.
    pub others: Average,
    /// Capacity of the KV cache in tokens; scraped.
    pub kv_capacity: Average,
}

impl Signals {
    /// Tokens per second of one stream, the inverse of the ITL.
    #[must_use]
    pub fn tokens_per_second(&self, now: Duration) -> Option<Weighed> {
        let itl = self.itl.get(now)?;
        (itl.value > 0.0).then(|| Weighed { value: 1.0 / itl.value, weight: itl.weight })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_speed_of_a_stream_is_the_inverse_of_its_itl_and_unknown_without_one() {
        let (signals, now) = (Signals::default(), Duration::from_secs(5));
        assert!(signals.tokens_per_second(now).is_none());
        signals.itl.set(0.02, now);
        let speed = signals.tokens_per_second(now).expect("an ITL was measured");
        assert!((speed.value - 50.0).abs() < 1e-9 && speed.weight > 0.99, "{speed:?}");
        signals.itl.set(0.0, now);
        assert!(signals.tokens_per_second(now).is_none(), "no division by zero");
    }
}
