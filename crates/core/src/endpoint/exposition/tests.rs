use proptest::prelude::*;

use super::*;

/// Of vLLM 0.32 after one handoff: most families, some of their buckets.
const DECODING: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/metrics-nixl-decode.prom"));

#[test]
fn a_captured_text_is_read() {
    let metrics = EngineMetrics::parse(DECODING);
    let expected = EngineMetrics {
        running: Some(0.0),
        waiting: Some(0.0),
        kv_use: Some(0.0),
        block_size: Some(32.0),
        num_gpu_blocks: Some(4096.0),
        kv_capacity_tokens: Some(131_072.0),
        prefix_queries_total: Some(215.0),
        prefix_hits_total: Some(0.0),
        prefix_hit_rate: None,
        prompt_tokens_total: Some(215.0),
        generation_tokens_total: Some(12.0),
        preemptions_total: Some(0.0),
        external_kv_tokens_total: Some(215.0),
        ttft_sum: Some(0.200_397_491_455_078_12),
        ttft_count: Some(1.0),
        itl_sum: Some(0.051_629_815_999_604_034),
        itl_count: Some(11.0),
        queue_time_sum: Some(0.092_769_353_999_756_28),
        queue_time_count: Some(1.0),
        prefill_time_sum: Some(0.015_621_828_000_348_614),
        prefill_time_count: Some(1.0),
    };
    assert_eq!(metrics, expected);
}

#[test]
fn older_names_are_read_and_newer_ones_win() {
    let old = b"vllm:gpu_cache_usage_perc{model_name=\"m\"} 0.25\n\
        vllm:gpu_prefix_cache_hit_rate{model_name=\"m\"} 0.5\n\
        vllm:gpu_prefix_cache_queries_total 8.0\nvllm:gpu_prefix_cache_hits_total 2.0\n\
        vllm:time_per_output_token_seconds_sum 3.0\nvllm:time_per_output_token_seconds_count 30\n\
        vllm:cache_config_info{block_size=\"16\",num_gpu_blocks=\"100\",num_cpu_blocks=\"None\"} 1.0\n";
    let read = EngineMetrics::parse(old);
    assert_eq!([read.kv_use, read.prefix_hit_rate], [Some(0.25), Some(0.5)]);
    assert_eq!([read.prefix_queries_total, read.prefix_hits_total], [Some(8.0), Some(2.0)]);
    assert_eq!([read.itl_sum, read.itl_count], [Some(3.0), Some(30.0)]);
    assert_eq!(read.kv_capacity_tokens, Some(1600.0));
    let both =
        [&old[..], b"vllm:inter_token_latency_seconds_sum 1\nvllm:kv_cache_usage_perc 0.75\n"]
            .concat();
    let read = EngineMetrics::parse(&both);
    assert_eq!([read.itl_sum, read.kv_use], [Some(1.0), Some(0.75)]);
}

#[test]
fn engines_add_up_and_fractions_are_averaged() {
    let text = b"vllm:num_requests_running{engine=\"0\"} 3\nvllm:num_requests_running{engine=\"1\"} 4.0\n\
        vllm:kv_cache_usage_perc{engine=\"0\"} 0.2\nvllm:kv_cache_usage_perc{engine=\"1\"} 0.6\n\
        vllm:cache_config_info{engine=\"0\",block_size=\"32\",kv_cache_size_tokens=\"64\",num_gpu_blocks=\"2\"} 1\n\
        vllm:cache_config_info{engine=\"1\",block_size=\"32\",kv_cache_size_tokens=\"96\",num_gpu_blocks=\"3\"} 1\n";
    let read = EngineMetrics::parse(text);
    assert_eq!(read.running, Some(7.0));
    assert_eq!(read.kv_use, Some(0.4));
    assert_eq!(
        [read.block_size, read.num_gpu_blocks, read.kv_capacity_tokens],
        [Some(32.0), Some(5.0), Some(160.0)]
    );
}

#[test]
fn what_is_missing_or_malformed_is_unknown() {
    for text in [
        "",
        "vllm:num_requests_running 5",
        "vllm:num_requests_running{engine=\"0\"}\n",
        "vllm:num_requests_running NaN\n",
        "vllm:num_requests_running +Inf\n",
        "vllm:num_requests_running -1\n",
        "vllm:num_requests_running five\n",
        "vllm:num_requests_running{engine=\"0\" 5\n",
        "vllm:num_requests_running{engine=\"0} 5\n",
        "vllm:num_requests_running{engine} 5\n",
        "# vllm:num_requests_running 5\n",
        "num_requests_running 5\n",
        "vllm:num_requests_running_total 5\n",
        "vllm:kv_cache_usage_perc 37.5\n",
        "vllm:prompt_tokens_by_source_total{source=\"local_compute\"} 5\n",
        "vllm:cache_config_info{block_size=\"None\",num_gpu_blocks=\"inf\"} 1.0\n",
        "vllm:\n\n{\n}\n",
    ] {
        assert_eq!(EngineMetrics::parse(text.as_bytes()), EngineMetrics::default(), "of {text}");
    }
}

#[test]
fn labels_may_hold_anything_and_a_time_may_follow() {
    let text = "vllm:num_requests_running{model_name=\"a } 9\\\" {b\\\\\", engine = \"0\",} 5 1795337348\r\n";
    assert_eq!(EngineMetrics::parse(text.as_bytes()).running, Some(5.0));
}

#[test]
fn a_line_of_ten_megabytes_hides_no_other() {
    let mut text = b"vllm:num_requests_running{model_name=\"".to_vec();
    text.resize(10 << 20, b'x');
    text.extend_from_slice(b"\nvllm:num_requests_waiting 2\n");
    let read = EngineMetrics::parse(&text);
    assert_eq!([read.running, read.waiting], [None, Some(2.0)]);
}

proptest! {
    #[test]
    fn a_text_that_ends_early_says_nothing_false(end in 0..DECODING.len()) {
        let (cut, whole) = (EngineMetrics::parse(&DECODING[..end]), EngineMetrics::parse(DECODING));
        let pairs = [
            (cut.running, whole.running),
            (cut.prompt_tokens_total, whole.prompt_tokens_total),
            (cut.external_kv_tokens_total, whole.external_kv_tokens_total),
            (cut.ttft_sum, whole.ttft_sum),
            (cut.kv_capacity_tokens, whole.kv_capacity_tokens),
        ];
        for (cut, whole) in pairs {
            prop_assert!(cut.is_none() || cut == whole, "{:?} of {:?}", cut, whole);
        }
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(
        lines in prop::collection::vec(
            (
                prop::sample::select(vec!["vllm:num_requests_running", "vllm:cache_config_info", "vllm:", ""]),
                prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"{}\"\\=, 1.e".to_vec())], 0..40),
            ),
            0..6,
        ),
    ) {
        let text: Vec<u8> = lines.iter().flat_map(|(name, rest)| [name.as_bytes(), rest, b"\n"].concat()).collect();
        let read = EngineMetrics::parse(&text);
        prop_assert!(read.running.is_none_or(|running| running.is_finite() && running >= 0.0));
    }
}
