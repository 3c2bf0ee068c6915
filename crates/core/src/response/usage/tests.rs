use proptest::prelude::*;

use super::*;

/// What vLLM 0.32 answers to the prefill leg of a NIXL pull, without its text.
const PREFILL: &str = r#"{"id":"chatcmpl-pd-84c05d","object":"chat.completion","created":1795335814,"model":"tiny","choices":[{"index":0,"message":{"role":"assistant","content":"\"kv_transfer_params\":{}"},"logprobs":null,"finish_reason":"length"}],"usage":{"prompt_tokens":215,"total_tokens":216,"completion_tokens":1,"prompt_tokens_details":{"cached_tokens":96,"created_cache_tokens":192,"multimodal_tokens":null},"completion_tokens_details":null},"kv_transfer_params":{"do_remote_prefill":true,"remote_block_ids":[[1,2,3]],"remote_port":5600},"ec_transfer_params":null,"metrics":null}"#;

#[test]
fn a_prefill_answer_gives_its_parameters_and_usage() {
    assert_eq!(
        kv_params_of(PREFILL.as_bytes()),
        Some(&br#"{"do_remote_prefill":true,"remote_block_ids":[[1,2,3]],"remote_port":5600}"#[..])
    );
    let usage = Usage { prompt_tokens: 215, completion_tokens: 1, cached_tokens: Some(96) };
    assert_eq!(usage_of(PREFILL.as_bytes()), Some(usage));
}

#[test]
fn parameters_that_are_no_single_object_are_none() {
    for answer in [
        r#"{"kv_transfer_params":null}"#,
        r#"{"kv_transfer_params":"{}"}"#,
        r#"{"a":{"kv_transfer_params":{}}}"#,
        r#"{"kv_transfer_params":{},"kv_transfer_params":{}}"#,
        r#"{"kv_transfer_params":{}"#,
        r#"[{"kv_transfer_params":{}}]"#,
        "",
    ] {
        assert_eq!(kv_params_of(answer.as_bytes()), None, "of {answer}");
    }
}

#[test]
fn usage_is_read_in_the_words_of_other_apis() {
    let responses = r#"{"usage":{"input_tokens":7,"output_tokens":3,"input_tokens_details":{"cached_tokens":4}}}"#;
    let messages = r#"{"usage":{"cache_read_input_tokens":4,"input_tokens":7,"output_tokens":3}}"#;
    let usage = Usage { prompt_tokens: 7, completion_tokens: 3, cached_tokens: Some(4) };
    assert_eq!(usage_of(responses.as_bytes()), Some(usage));
    assert_eq!(usage_of(messages.as_bytes()), Some(usage));
    for answer in [r#"{"usage":null}"#, r#"{"usage":{"prompt_tokens":"7"}}"#, "{}", "nothing"] {
        assert_eq!(usage_of(answer.as_bytes()), None, "of {answer}");
    }
}

proptest! {
    #[test]
    fn any_bytes_are_read_without_a_panic(
        before in ".{0,8}",
        bytes in prop::collection::vec(any::<u8>(), 0..60),
    ) {
        for name in ["kv_transfer_params", "usage"] {
            let answer = [before.as_bytes(), b"{\"", name.as_bytes(), b"\":", &bytes, b"}"].concat();
            if let Some(params) = kv_params_of(&answer) {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(params).is_ok());
            }
            let _ = usage_of(&answer);
        }
    }
}
