//! The few families of a vLLM server's `/metrics` that decisions need.
//!
//! The Prometheus text is read line by line in place, and lines of other families cost only the search for their end.
//! Names of older servers are accepted. Malformed lines are passed over, and so is a last line without its line feed,
//! which may have been cut. A missing family is `None`, never 0.
//!
//! One server may run several engines (data parallel) with a line each. Counts add up; of fractions the mean is
//! taken, as a request may land on any of the engines.

mod line;

#[cfg(test)]
mod tests;

use memchr::memchr;

use self::line::Sample;

/// The metrics of one server. Counters count from the server's start; times are in seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct EngineMetrics {
    /// Running requests.
    pub running: Option<f64>,
    /// Waiting requests.
    pub waiting: Option<f64>,
    /// Share of KV blocks in use, 0 to 1; the mean over engines.
    pub kv_use: Option<f64>,
    /// Tokens of one KV block.
    pub block_size: Option<f64>,
    /// KV blocks of all engines.
    pub num_gpu_blocks: Option<f64>,
    /// Capacity of the KV cache in tokens; where the server does not say it, `block_size` × `num_gpu_blocks`.
    pub kv_capacity_tokens: Option<f64>,
    /// Tokens looked up in the prefix cache.
    pub prefix_queries_total: Option<f64>,
    /// Tokens found in the prefix cache.
    pub prefix_hits_total: Option<f64>,
    /// Found ÷ looked up as a gauge, 0 to 1: only very old servers have it; the mean over engines.
    pub prefix_hit_rate: Option<f64>,
    /// Tokens of prompts.
    pub prompt_tokens_total: Option<f64>,
    /// Generated tokens.
    pub generation_tokens_total: Option<f64>,
    /// Requests put back into the queue for want of KV.
    pub preemptions_total: Option<f64>,
    /// Tokens of prompts whose KV came from another server.
    pub external_kv_tokens_total: Option<f64>,
    /// Time to first token, all requests together.
    pub ttft_sum: Option<f64>,
    /// Requests in `ttft_sum`.
    pub ttft_count: Option<f64>,
    /// Time between tokens, all tokens together.
    pub itl_sum: Option<f64>,
    /// Gaps in `itl_sum`.
    pub itl_count: Option<f64>,
    /// Time in the queue, all requests together.
    pub queue_time_sum: Option<f64>,
    /// Requests in `queue_time_sum`.
    pub queue_time_count: Option<f64>,
    /// Time in prefill, all requests together.
    pub prefill_time_sum: Option<f64>,
    /// Requests in `prefill_time_sum`.
    pub prefill_time_count: Option<f64>,
}

impl EngineMetrics {
    /// Reads the text of one scrape.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut sums = Sums::default();
        let mut rest = text;
        while let Some(end) = memchr(b'\n', rest) {
            if let Some(sample) = Sample::of(&rest[..end]) {
                sums.add(&sample);
            }
            rest = &rest[end + 1..];
        }
        sums.metrics()
    }
}

/// A fraction's mean over engines.
#[derive(Clone, Copy, Default)]
struct Mean {
    sum: f64,
    count: f64,
}

impl Mean {
    /// Adds a fraction. A little above 1 is a rounding error; anything larger is no fraction and is passed over.
    fn add(&mut self, fraction: f64) {
        if fraction <= 1.001 {
            self.sum += fraction.min(1.0);
            self.count += 1.0;
        }
    }

    fn get(self) -> Option<f64> {
        (self.count > 0.0).then(|| self.sum / self.count)
    }
}

/// The sums over the lines read so far. Of a family that a server has under both its old and its new name, the new
/// counts.
#[derive(Default)]
struct Sums {
    found: EngineMetrics,
    kv_use: Mean,
    old_kv_use: Mean,
    old_hit_rate: Mean,
    old_prefix_queries: Option<f64>,
    old_prefix_hits: Option<f64>,
    old_itl_sum: Option<f64>,
    old_itl_count: Option<f64>,
    /// The capacity computed from blocks, for servers that do not say it in tokens.
    capacity_by_blocks: Option<f64>,
}

impl Sums {
    fn add(&mut self, sample: &Sample<'_>) {
        let found = &mut self.found;
        let sum = match sample.name {
            b"num_requests_running" => &mut found.running,
            b"num_requests_waiting" => &mut found.waiting,
            b"prefix_cache_queries_total" => &mut found.prefix_queries_total,
            b"prefix_cache_hits_total" => &mut found.prefix_hits_total,
            b"gpu_prefix_cache_queries_total" => &mut self.old_prefix_queries,
            b"gpu_prefix_cache_hits_total" => &mut self.old_prefix_hits,
            b"prompt_tokens_total" => &mut found.prompt_tokens_total,
            b"prompt_tokens_by_source_total" if sample.is("source", b"external_kv_transfer") => {
                &mut found.external_kv_tokens_total
            }
            b"generation_tokens_total" => &mut found.generation_tokens_total,
            b"num_preemptions_total" => &mut found.preemptions_total,
            b"time_to_first_token_seconds_sum" => &mut found.ttft_sum,
            b"time_to_first_token_seconds_count" => &mut found.ttft_count,
            b"inter_token_latency_seconds_sum" => &mut found.itl_sum,
            b"inter_token_latency_seconds_count" => &mut found.itl_count,
            b"time_per_output_token_seconds_sum" => &mut self.old_itl_sum,
            b"time_per_output_token_seconds_count" => &mut self.old_itl_count,
            b"request_queue_time_seconds_sum" => &mut found.queue_time_sum,
            b"request_queue_time_seconds_count" => &mut found.queue_time_count,
            b"request_prefill_time_seconds_sum" => &mut found.prefill_time_sum,
            b"request_prefill_time_seconds_count" => &mut found.prefill_time_count,
            _ => return self.add_other(sample),
        };
        if let Some(value) = sample.value() {
            add(sum, value);
        }
    }

    /// Adds a sample of a family whose engines do not simply add up.
    fn add_other(&mut self, sample: &Sample<'_>) {
        let mean = match sample.name {
            b"kv_cache_usage_perc" => &mut self.kv_use,
            b"gpu_cache_usage_perc" => &mut self.old_kv_use,
            b"gpu_prefix_cache_hit_rate" => &mut self.old_hit_rate,
            b"cache_config_info" => return self.add_cache(sample),
            _ => return,
        };
        if let Some(value) = sample.value() {
            mean.add(value);
        }
    }

    /// Adds one engine's cache, whose figures are labels.
    fn add_cache(&mut self, sample: &Sample<'_>) {
        let (mut size, mut blocks, mut tokens) = (None, None, None);
        sample.each_label(|name, value| match name {
            b"block_size" => size = line::number(value),
            b"num_gpu_blocks" => blocks = line::number(value),
            b"kv_cache_size_tokens" => tokens = line::number(value),
            _ => {}
        });
        self.found.block_size = size.or(self.found.block_size);
        let by_blocks = size.zip(blocks).map(|(size, blocks)| size * blocks);
        for (sum, value) in [
            (&mut self.found.num_gpu_blocks, blocks),
            (&mut self.found.kv_capacity_tokens, tokens),
            (&mut self.capacity_by_blocks, by_blocks),
        ] {
            if let Some(value) = value {
                add(sum, value);
            }
        }
    }

    fn metrics(self) -> EngineMetrics {
        let found = self.found;
        EngineMetrics {
            kv_use: self.kv_use.get().or(self.old_kv_use.get()),
            kv_capacity_tokens: found.kv_capacity_tokens.or(self.capacity_by_blocks),
            prefix_queries_total: found.prefix_queries_total.or(self.old_prefix_queries),
            prefix_hits_total: found.prefix_hits_total.or(self.old_prefix_hits),
            prefix_hit_rate: self.old_hit_rate.get(),
            itl_sum: found.itl_sum.or(self.old_itl_sum),
            itl_count: found.itl_count.or(self.old_itl_count),
            ..found
        }
    }
}

fn add(sum: &mut Option<f64>, value: f64) {
    *sum = Some(sum.unwrap_or(0.0) + value);
}
