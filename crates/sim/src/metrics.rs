//! The page `/metrics`: the counters of the engine under vLLM's names and labels.

mod page;

use crate::app::App;
use crate::engine::Engine;
use crate::metrics::page::Page;
use crate::stats::Stats;

/// Renders the whole page.
pub(crate) fn render(app: &App) -> String {
    let model = app.catalog().models.first().cloned().unwrap_or_default();
    let mut page = Page::new(model, app.started());
    app.driver.with_engine(|engine, _| {
        if app.config.has_connector() {
            transfers(&mut page, engine.stats());
        }
        requests(&mut page, app, engine);
        tokens(&mut page, engine.stats());
        ends(&mut page, engine.stats());
        times(&mut page, engine.stats());
        cache_config(&mut page, engine);
    });
    page.finish()
}

fn requests(page: &mut Page, app: &App, engine: &Engine) {
    let (waiting, loading) = engine.waiting();
    page.gauge(
        "num_requests_running",
        "Number of requests in model execution batches.",
        engine.running() as f64,
    );
    page.gauge(
        "num_requests_waiting",
        "Number of requests waiting to be processed.",
        waiting as f64,
    );
    page.gauges(
        "num_requests_waiting_by_reason",
        "Number of waiting requests by reason.",
        "reason",
        &[("capacity", (waiting - loading) as f64), ("deferred", loading as f64)],
    );
    if app.config.has_connector() {
        page.gauges(
            "num_requests_kv_fetch_by_stage",
            "Number of waiting requests by async KV load stage.",
            "stage",
            &[
                ("waiting_to_start", 0.0),
                ("in_progress", loading as f64),
                ("completed_waiting", 0.0),
            ],
        );
    }
    let sleep = app.sleep();
    let states = [("awake", 0), ("weights_offloaded", 1), ("discard_all", 2)];
    page.gauges(
        "engine_sleep_state",
        "Engine sleep state.",
        "sleep_state",
        &states.map(|(name, level)| (name, f64::from(u8::from(sleep == level)))),
    );
    let pool = engine.pool();
    let usage = 1.0 - pool.free() as f64 / pool.total().max(1) as f64;
    page.gauge("kv_cache_usage_perc", "KV-cache usage. 1 means 100 percent usage.", usage);
}

fn tokens(page: &mut Page, stats: &Stats) {
    let counters = [
        (
            "prefix_cache_queries_total",
            "Prefix cache queries, in tokens.",
            stats.prefix_cache_queries,
        ),
        ("prefix_cache_hits_total", "Prefix cache hits, in tokens.", stats.prefix_cache_hits),
        (
            "external_prefix_cache_queries_total",
            "External prefix cache queries, in tokens.",
            stats.external_cache_queries,
        ),
        (
            "external_prefix_cache_hits_total",
            "External prefix cache hits, in tokens.",
            stats.external_cache_hits,
        ),
        ("num_preemptions_total", "Preemptions of the engine.", stats.preemptions),
        ("prompt_tokens_total", "Number of prefill tokens processed.", stats.prompt_tokens),
    ];
    for (name, help, value) in counters {
        page.counter(name, help, value);
    }
    page.counters(
        "prompt_tokens_by_source_total",
        "Number of prompt tokens by source.",
        "source",
        &[
            ("local_compute", stats.local_compute),
            ("local_cache_hit", stats.local_cache_hit),
            ("external_kv_transfer", stats.external_kv_transfer),
        ],
    );
    let cached = stats.local_cache_hit + stats.external_kv_transfer;
    page.counter("prompt_tokens_cached_total", "Number of cached prompt tokens.", cached);
    page.counter(
        "generation_tokens_total",
        "Number of generation tokens processed.",
        stats.generation_tokens,
    );
}

fn ends(page: &mut Page, stats: &Stats) {
    page.counters(
        "request_success_total",
        "Count of successfully processed requests.",
        "finished_reason",
        &[
            ("stop", stats.ends.stop),
            ("length", stats.ends.length),
            // vLLM exports the label, but does not count aborted requests.
            ("abort", 0),
            ("error", 0),
            ("repetition", 0),
        ],
    );
    page.head("admission_rejections_total", "counter", "Admissions refused by a queue limit.");
    // This family has no engine label, because vLLM counts it before it chooses an engine.
    let limits = [("max_num_queued_reqs", stats.rejections), ("max_num_queued_tokens", 0)];
    for (limit, count) in limits {
        let labels = format!(r#"model_name="{}",reason="{limit}""#, page.model());
        page.line("admission_rejections_total", &labels, count as f64);
    }
}

fn times(page: &mut Page, stats: &Stats) {
    let histograms = [
        (
            "request_prompt_tokens",
            "Number of prefill tokens processed.",
            &stats.request_prompt_tokens,
        ),
        (
            "request_generation_tokens",
            "Number of generation tokens processed.",
            &stats.request_generation_tokens,
        ),
        ("iteration_tokens_total", "Number of tokens per engine_step.", &stats.step_tokens),
        (
            "request_params_max_tokens",
            "Histogram of the max_tokens request parameter.",
            &stats.request_max_tokens,
        ),
        (
            "time_to_first_token_seconds",
            "Histogram of time to first token in seconds.",
            &stats.time_to_first_token,
        ),
        (
            "inter_token_latency_seconds",
            "Histogram of inter-token latency in seconds.",
            &stats.inter_token_latency,
        ),
        (
            "request_time_per_output_token_seconds",
            "Histogram of time per output token per request.",
            &stats.time_per_output_token,
        ),
        (
            "e2e_request_latency_seconds",
            "Histogram of e2e request latency in seconds.",
            &stats.e2e_latency,
        ),
        ("request_queue_time_seconds", "Time spent in WAITING phase.", &stats.queue_time),
        ("request_inference_time_seconds", "Time spent in RUNNING phase.", &stats.inference_time),
        ("request_prefill_time_seconds", "Time spent in PREFILL phase.", &stats.prefill_time),
        ("request_decode_time_seconds", "Time spent in DECODE phase.", &stats.decode_time),
    ];
    for (name, help, values) in histograms {
        page.histogram(name, help, values);
    }
}

fn transfers(page: &mut Page, stats: &Stats) {
    page.histogram(
        "nixl_xfer_time_seconds",
        "Histogram of transfer duration for NIXL KV Cache transfers.",
        &stats.transfer_time,
    );
    page.counter(
        "nixl_num_failed_transfers_total",
        "Number of failed NIXL KV Cache transfers.",
        stats.failed_transfers,
    );
    page.counter(
        "nixl_num_kv_expired_reqs_total",
        "Number of requests that had their KV expire. NOTE: This metric is tracked on the P instance.",
        stats.expired_leases,
    );
}

fn cache_config(page: &mut Page, engine: &Engine) {
    page.head("cache_config_info", "gauge", "Information of the LLMEngine CacheConfig");
    let config = engine.config();
    let size = u64::from(config.block_size) * u64::from(config.kv_blocks);
    let labels = format!(
        r#"block_size="{}",enable_prefix_caching="True",engine="0",kv_cache_size_tokens="{size}",num_gpu_blocks="{}""#,
        config.block_size, config.kv_blocks
    );
    page.line("cache_config_info", &labels, 1.0);
}
