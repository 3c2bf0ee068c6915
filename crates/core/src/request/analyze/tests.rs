use std::time::Duration;

use http::{HeaderName, HeaderValue};
use proptest::prelude::*;

use super::*;
use crate::json::arbitrary::value;
use crate::phase::Phase;

fn read(api: Api, body: &str) -> Result<Analysis, AnalyzeError> {
    analyze(api, &HeaderMap::new(), body.as_bytes(), &HeaderRules::default())
}

fn chat(members: &str) -> Analysis {
    let body =
        format!(r#"{{"model":"tiny","messages":[{{"role":"user","content":"hi"}}]{members}}}"#);
    read(Api::ChatCompletions, &body).expect("a request")
}

fn with_headers(headers: &[(&'static str, &str)]) -> Analysis {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let value = HeaderValue::from_bytes(value.as_bytes()).expect("a header's value");
        map.append(HeaderName::from_static(name), value);
    }
    analyze(Api::ChatCompletions, &map, br#"{"messages":[]}"#, &HeaderRules::default())
        .expect("a request")
}

#[test]
fn a_chat_request_is_read() {
    let body = r#"{"model":"t\u0069ny","messages":[{"role":"user","content":"hi"}],"max_tokens":64,
        "max_completion_tokens":32,"stream":true,"stream_options":{"include_usage":true},"previous_response_id":null}"#;
    let read = read(Api::ChatCompletions, body).expect("a request");
    assert_eq!(read.model.as_deref(), Some("tiny"));
    assert!(read.stream && read.include_usage);
    assert_eq!(read.prompt_bytes, r#"[{"role":"user","content":"hi"}]"#.len());
    assert_eq!(read.max_tokens, Some(32), "max_completion_tokens wins");
    assert_eq!((read.phase, read.whole, read.previous_response_id), (Phase::Prefill, None, None));
}

#[test]
fn the_phase_is_by_the_published_rules() {
    let cases = [
        (r#"{"messages":[{"role":"user","content":"a"}]}"#, Phase::Prefill),
        (
            r#"{"messages":[{"role":"user"},{"content":"b","role":"assistant"},{"role":"user"}]}"#,
            Phase::Decoding,
        ),
        (r#"{"messages":[{"r\u006fle":"\u0061ssistant"}]}"#, Phase::Decoding),
        (r#"{"messages":[{"role":"user","content":[{"role":"assistant"}]}]}"#, Phase::Prefill),
        (r#"{"messages":[{"role":"user","content":"\"role\":\"assistant\""}]}"#, Phase::Prefill),
        (r#"{"messages":[{"role":"assistant","role":"user"}]}"#, Phase::Prefill),
        (
            r#"{"messages":[["role","assistant"],"assistant",{"role":["assistant"]}]}"#,
            Phase::Prefill,
        ),
        (r#"{"messages":{"role":"assistant"}}"#, Phase::Prefill),
        (r#"{"messages":null}"#, Phase::Prefill),
        (r#"{"prompt":"x"}"#, Phase::Prefill),
        (r#"{"parent_id":"m1"}"#, Phase::Decoding),
        (r#"{"previous_message_id":7,"messages":[]}"#, Phase::Decoding),
        (r#"{"previous_response_id":"resp_1","input":"x"}"#, Phase::Decoding),
        (r#"{"parent_id":null,"previous_message_id":null,"messages":[]}"#, Phase::Prefill),
    ];
    for (body, phase) in cases {
        assert_eq!(read(Api::Other, body).expect("a request").phase, phase, "of {body}");
    }
}

#[test]
fn what_one_endpoint_must_serve_whole_says_why() {
    use WholeReason as R;
    let cases = [
        ("", None),
        (r#","n":1,"best_of":1,"echo":false,"use_beam_search":null,"prompt_logprobs":null"#, None),
        (
            r#","logprobs":true,"top_logprobs":2,"tools":[],"response_format":{"type":"json_object"}"#,
            None,
        ),
        (r#","n":2"#, Some(R::Several)),
        (r#","n":"2""#, Some(R::Several)),
        (r#","n":1.0"#, None),
        (r#","best_of":3"#, Some(R::Several)),
        (r#","use_beam_search":true"#, Some(R::BeamSearch)),
        (r#","echo":"yes""#, Some(R::Echo)),
        (r#","prompt_logprobs":0"#, Some(R::PromptLogprobs)),
        (r#","max_tokens":1"#, Some(R::SingleToken)),
        (r#","max_tokens":9,"max_completion_tokens":1"#, Some(R::SingleToken)),
        (r#","max_tokens":1,"max_completion_tokens":9"#, None),
        (r#","max_tokens":"many""#, Some(R::Unreadable)),
        (r#","max_tokens":-1"#, Some(R::Unreadable)),
        (r#","data_parallel_rank":0"#, Some(R::Pinned)),
    ];
    for (members, reason) in cases {
        assert_eq!(chat(members).whole, reason, "of {members}");
    }
    let unreadable = read(Api::ChatCompletions, r#"{"messages":"x"}"#).expect("a request");
    assert_eq!(unreadable.whole, Some(R::Unreadable));
}

#[test]
fn prompts_of_completions_are_told_apart() {
    let cases = [
        (r#"{"prompt":"text"}"#, None, None),
        (r#"{"prompt":[1, 2,3 ]}"#, None, Some(3)),
        (r#"{"prompt":["text"]}"#, Some(WholeReason::Batch), None),
        (r#"{"prompt":[[1,2],[3]]}"#, Some(WholeReason::Batch), None),
        (r#"{"prompt":[1,"a"]}"#, Some(WholeReason::Batch), None),
        (r#"{"prompt":[]}"#, Some(WholeReason::Batch), None),
        (r#"{"prompt":null}"#, Some(WholeReason::Unreadable), None),
        (r#"{"prompt_embeds":"AAAA"}"#, Some(WholeReason::PromptEmbeds), None),
    ];
    for (body, whole, tokens) in cases {
        let read = read(Api::Completions, body).expect("a request");
        assert_eq!((read.whole, read.prompt_tokens_exact), (whole, tokens), "of {body}");
    }
}

#[test]
fn other_apis_are_served_whole_and_still_sized() {
    let read =
        read(Api::Other, r#"{"model":"e","input":"four words of text"}"#).expect("a request");
    assert_eq!((read.whole, read.prompt_bytes), (Some(WholeReason::OtherApi), 20));
}

#[test]
fn a_stream_is_what_vllm_takes_for_one() {
    for (value, stream) in
        [("true", true), ("false", false), ("null", false), ("1", true), ("\"YES\"", true)]
    {
        assert_eq!(chat(&format!(r#","stream":{value}"#)).stream, stream, "{value}");
    }
    for value in ["\"maybe\"", "2", "[]", "{}"] {
        let error =
            read(Api::ChatCompletions, &format!(r#"{{"stream":{value}}}"#)).expect_err(value);
        assert_eq!(error.to_string(), "`stream` must be a boolean, at byte 10");
        assert_eq!(error.param(), Some("stream"));
    }
}

#[test]
fn bodies_with_two_meanings_are_refused_by_name() {
    let long = format!(r#"{{"model":"{}"}}"#, "m".repeat(2000));
    let many: Vec<String> = (0..17).map(|i| format!(r#""bootstrap_{i}":0"#)).collect();
    let many = format!("{{{}}}", many.join(","));
    let cases = [
        (r#"{"model":5}"#, "`model` must be a string, at byte 9", Some("model")),
        (&long, "`model` must be at most 1022 bytes long, at byte 9", Some("model")),
        (
            r#"{"model":"a","mod\u0065l":"b"}"#,
            "body has `model` twice, again at byte 13: send it once",
            Some("model"),
        ),
        (
            r#"{"kv_transfer_params":{},"kv_transfer_params":{}}"#,
            "body has `kv_transfer_params` twice, again at byte 25: send it once",
            Some("kv_transfer_params"),
        ),
        (
            r#"{"vllm_xargs":{"kv_transfer_params":"x"}}"#,
            "`vllm_xargs` must not hold `kv_transfer_params`, at byte 15: transfer parameters are the router's to set",
            Some("vllm_xargs"),
        ),
        (
            r#"{"sampling_params":{"extra_args":{"ec_transfer_params":{}}}}"#,
            "`sampling_params` must not hold `ec_transfer_params`, at byte 34: transfer parameters are the router's to set",
            Some("sampling_params"),
        ),
        (&many, "body has too many `bootstrap_*` members, at byte 263: leave them out", None),
        ("[]", "body is not a JSON object: expected an object at byte 0", None),
        (r#"{"model":"#, "body is not a JSON object: the text ends too early at byte 9", None),
    ];
    for (body, told, param) in cases {
        let error = read(Api::ChatCompletions, body).expect_err(told);
        assert_eq!((error.to_string().as_str(), error.param()), (told, param), "of {body}");
    }
}

#[test]
fn duplicates_that_mean_nothing_here_pass() {
    assert_eq!(chat(r#","seed":1,"seed":2,"vllm_xargs":{"session_id":"s"}"#).whole, None);
}

#[test]
fn headers_are_read() {
    let read = with_headers(&[
        ("x-request-priority", " 1 "),
        ("x-expected-output-tokens", "800"),
        ("x-sla-target-ms", "250"),
        ("x-llm-d-slo-ttft-ms", "900"),
        ("x-llm-d-slo-tpot-ms", "12.5"),
        ("x-session-id", "s-1"),
    ]);
    assert_eq!((read.priority, read.expected_output_tokens), (Priority::High, Some(800)));
    assert_eq!(read.ttft_target, Some(Duration::from_millis(250)), "the product's own name wins");
    assert_eq!(read.itl_target, Some(Duration::from_micros(12_500)));
    assert_eq!((read.session.as_deref(), read.ignored_headers), (Some("s-1"), 0));
    let alias = with_headers(&[("x-llm-d-slo-ttft-ms", "900"), ("x-data-parallel-rank", "1")]);
    assert_eq!(alias.ttft_target, Some(Duration::from_millis(900)));
    assert_eq!(with_headers(&[]).priority, Priority::Medium);
    assert_eq!(alias.whole, Some(WholeReason::Pinned));
}

#[test]
fn bad_headers_are_ignored_and_counted() {
    let cases: [(&str, &[&str]); 5] = [
        ("x-request-priority", &["0", "4", "high", "", "1,2", "é"]),
        ("x-expected-output-tokens", &["0", "-1", "1000001", "1.5", "99999999999"]),
        (
            "x-sla-target-ms",
            &["0", "3600001", "-5", "inf", "1e3", "NaN", "", "1.2.3", "0.0000000001"],
        ),
        ("x-llm-d-slo-tpot-ms", &["0", "soon"]),
        ("x-session-id", &["", "é"]),
    ];
    for (name, values) in cases {
        for value in values {
            let read = with_headers(&[(name, value)]);
            assert_eq!(read.ignored_headers, 1, "{name}: {value}");
            assert_eq!(
                Analysis { ignored_headers: 0, ..read },
                with_headers(&[]),
                "{name}: {value}"
            );
        }
    }
    assert_eq!(with_headers(&[("x-session-id", &"s".repeat(257))]).session, None);
}

#[test]
fn names_of_headers_are_configurable() {
    let rules =
        HeaderRules { priority: HeaderName::from_static("x-urgent"), ..HeaderRules::default() };
    let mut headers = HeaderMap::new();
    headers.insert("x-urgent", HeaderValue::from_static("3"));
    headers.insert("x-request-priority", HeaderValue::from_static("1"));
    let read = analyze(Api::Other, &headers, b"{}", &rules).expect("a request");
    assert_eq!(read.priority, Priority::Low);
}

proptest! {
    #[test]
    fn any_object_is_read_or_refused_and_keeps_its_size(messages in value(), n in value(), max_tokens in value()) {
        let body = format!(r#"{{"messages":{messages},"n":{n},"max_tokens":{max_tokens}}}"#);
        let read = read(Api::ChatCompletions, &body).expect("a request");
        prop_assert_eq!(read.prompt_bytes, messages.len());
        let tree: serde_json::Value = serde_json::from_str(&messages).expect("JSON");
        let assistant = tree.as_array().is_some_and(|list| list.iter().any(|message| message["role"] == "assistant"));
        prop_assert_eq!(read.phase == Phase::Decoding, assistant);
    }

    #[test]
    fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for api in [Api::ChatCompletions, Api::Completions, Api::Other] {
            let _ = analyze(api, &HeaderMap::new(), &bytes, &HeaderRules::default());
            let body = [b"{\"messages\":", &bytes[..]].concat();
            let _ = analyze(api, &HeaderMap::new(), &body, &HeaderRules::default());
        }
    }
}
