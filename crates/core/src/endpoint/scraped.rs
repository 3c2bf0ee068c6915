//! The scraped metrics of an endpoint become signals.

use std::time::Duration;

use crate::endpoint::exposition::EngineMetrics;
use crate::endpoint::state::EndpointState;

/// The prefix-cache counters of the last scrape (tokens looked up, tokens found), from which the hit rate is computed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counters(Option<(f64, f64)>);

impl EndpointState {
    /// Sets the signals from one scrape. Signals that it lacks stay as they were, and fade.
    pub fn scraped(&self, page: &EngineMetrics, counters: &mut Counters, now: Duration) {
        let signals = &self.signals;
        let own = f64::from(self.ledger.in_flight_all());
        let all = page.running.zip(page.waiting).map(|(running, waiting)| running + waiting);
        let gauges = [
            (&signals.running, page.running),
            (&signals.waiting, page.waiting),
            (&signals.others, all.map(|all| (all - own).max(0.0))),
            (&signals.kv_use, page.kv_use),
            (&signals.kv_capacity, page.kv_capacity_tokens),
            (&signals.prefix_hit_rate, page.prefix_hit_rate),
        ];
        for (signal, value) in gauges {
            if let Some(value) = value {
                signal.set(value, now);
            }
        }
        let (Some(queries), Some(hits)) = (page.prefix_queries_total, page.prefix_hits_total)
        else {
            return;
        };
        // The hit rate is a ratio of rates; a counter that fell belongs to a restarted engine.
        if let Some((queried, hit)) = counters.0.replace((queries, hits))
            && queries > queried
            && hits >= hit
        {
            signals.prefix_hit_rate.observe((hits - hit) / (queries - queried), now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(queries: f64, hits: f64) -> EngineMetrics {
        EngineMetrics {
            running: Some(3.0),
            waiting: Some(2.0),
            prefix_queries_total: Some(queries),
            prefix_hits_total: Some(hits),
            ..EngineMetrics::default()
        }
    }

    #[test]
    fn the_hit_rate_is_a_ratio_of_rates_and_survives_a_restart_of_the_engine() {
        let endpoint = EndpointState::new("a", "127.0.0.1:1");
        let mut counters = Counters::default();
        let now = Duration::from_secs(1);
        let rate = || endpoint.signals.prefix_hit_rate.get(now).map(|rate| rate.value);
        endpoint.scraped(&page(1000.0, 900.0), &mut counters, now);
        assert_eq!(rate(), None, "one look has no rate");
        endpoint.scraped(&page(1100.0, 925.0), &mut counters, now);
        assert_eq!(rate(), Some(0.25));
        endpoint.scraped(&page(10.0, 10.0), &mut counters, now);
        assert_eq!(rate(), Some(0.25), "counters fell");
        assert_eq!(endpoint.signals.running.get(now).map(|r| r.value), Some(3.0));
        assert!(endpoint.signals.kv_use.get(now).is_none(), "missing is unknown");
    }

    #[test]
    fn what_is_not_the_routers_own_is_others() {
        let endpoint = std::sync::Arc::new(EndpointState::new("a", "127.0.0.1:1"));
        let _own = endpoint.hold(crate::phase::Phase::Decoding, 10);
        let now = Duration::from_secs(1);
        endpoint.scraped(&page(0.0, 0.0), &mut Counters::default(), now);
        assert_eq!(endpoint.signals.others.get(now).map(|others| others.value), Some(4.0));
    }
}
