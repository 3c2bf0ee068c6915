//! Counters and histograms of an engine since its start, in the units of vLLM's metrics.

use std::time::Duration;

/// The upper bounds of vLLM's request-time histograms, in seconds.
const LATENCY: &[f64] = &[
    0.3, 0.5, 0.8, 1.0, 1.5, 2.0, 2.5, 5.0, 10.0, 15.0, 20.0, 30.0, 40.0, 50.0, 60.0, 120.0, 240.0,
    480.0, 960.0, 1920.0, 7680.0,
];
const FIRST_TOKEN: &[f64] = &[
    0.001, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0,
    20.0, 40.0, 80.0, 160.0, 640.0, 2560.0,
];
const INTER_TOKEN: &[f64] = &[
    0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0, 20.0,
    40.0, 80.0,
];
const TOKENS: &[f64] = &[
    1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0, 200.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0,
    20_000.0, 50_000.0, 100_000.0,
];
const STEP_TOKENS: &[f64] =
    &[1.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0, 8192.0, 16_384.0];
const TRANSFER: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 5.0];

/// A cumulative histogram as Prometheus defines it.
#[derive(Clone, Debug)]
pub struct Histogram {
    bounds: &'static [f64],
    counts: Vec<u64>,
    sum: f64,
    count: u64,
}

impl Histogram {
    fn new(bounds: &'static [f64]) -> Self {
        Self { bounds, counts: vec![0; bounds.len()], sum: 0.0, count: 0 }
    }

    /// Counts one value.
    pub fn observe(&mut self, value: f64) {
        if let Some(bucket) = self.bounds.iter().position(|bound| value <= *bound) {
            self.counts[bucket] += 1;
        }
        self.sum += value;
        self.count += 1;
    }

    pub(crate) fn observe_time(&mut self, time: Duration) {
        self.observe(time.as_secs_f64());
    }

    /// The buckets as (upper bound, number of values at or below it), without the infinite one.
    pub fn buckets(&self) -> impl Iterator<Item = (f64, u64)> {
        let totals = self.counts.iter().scan(0, |total, count| {
            *total += count;
            Some(*total)
        });
        self.bounds.iter().copied().zip(totals)
    }

    /// The sum of all values.
    #[must_use]
    pub fn sum(&self) -> f64 {
        self.sum
    }

    /// The number of values.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.count
    }
}

/// The number of finished requests, by reason.
#[derive(Clone, Debug, Default)]
pub struct Ends {
    /// The model ended its answer.
    pub stop: u64,
    /// `max_tokens` or the context length was reached.
    pub length: u64,
    /// The client disconnected.
    pub abort: u64,
}

/// The counters and histograms of one engine, each counted when vLLM counts it.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "the fields are named after vLLM's metric families")]
pub struct Stats {
    pub prefix_cache_queries: u64,
    pub prefix_cache_hits: u64,
    pub external_cache_queries: u64,
    pub external_cache_hits: u64,
    pub prompt_tokens: u64,
    pub local_compute: u64,
    pub local_cache_hit: u64,
    pub external_kv_transfer: u64,
    pub generation_tokens: u64,
    pub preemptions: u64,
    pub rejections: u64,
    pub expired_leases: u64,
    pub failed_transfers: u64,
    pub ends: Ends,
    pub time_to_first_token: Histogram,
    pub inter_token_latency: Histogram,
    pub time_per_output_token: Histogram,
    pub e2e_latency: Histogram,
    pub queue_time: Histogram,
    pub inference_time: Histogram,
    pub prefill_time: Histogram,
    pub decode_time: Histogram,
    pub transfer_time: Histogram,
    pub request_prompt_tokens: Histogram,
    pub request_generation_tokens: Histogram,
    pub request_max_tokens: Histogram,
    pub step_tokens: Histogram,
}

impl Default for Stats {
    fn default() -> Self {
        Self {
            prefix_cache_queries: 0,
            prefix_cache_hits: 0,
            external_cache_queries: 0,
            external_cache_hits: 0,
            prompt_tokens: 0,
            local_compute: 0,
            local_cache_hit: 0,
            external_kv_transfer: 0,
            generation_tokens: 0,
            preemptions: 0,
            rejections: 0,
            expired_leases: 0,
            failed_transfers: 0,
            ends: Ends::default(),
            time_to_first_token: Histogram::new(FIRST_TOKEN),
            inter_token_latency: Histogram::new(INTER_TOKEN),
            time_per_output_token: Histogram::new(INTER_TOKEN),
            e2e_latency: Histogram::new(LATENCY),
            queue_time: Histogram::new(LATENCY),
            inference_time: Histogram::new(LATENCY),
            prefill_time: Histogram::new(LATENCY),
            decode_time: Histogram::new(LATENCY),
            transfer_time: Histogram::new(TRANSFER),
            request_prompt_tokens: Histogram::new(TOKENS),
            request_generation_tokens: Histogram::new(TOKENS),
            request_max_tokens: Histogram::new(TOKENS),
            step_tokens: Histogram::new(STEP_TOKENS),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_are_cumulative_and_the_last_is_infinite() {
        let mut histogram = Histogram::new(TRANSFER);
        for value in [0.001, 0.005, 0.006, 9.0] {
            histogram.observe(value);
        }
        let buckets: Vec<_> = histogram.buckets().collect();
        assert_eq!(buckets[..2], [(0.005, 2), (0.01, 3)]);
        assert_eq!(buckets.last(), Some(&(5.0, 3)));
        assert_eq!((histogram.count(), histogram.sum()), (4, 9.012));
    }
}
