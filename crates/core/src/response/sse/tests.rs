use proptest::prelude::*;

use super::*;

/// Streams of vLLM 0.32, without their HTTP heads.
const CHAT: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/chat-stream-usage.sse"));
const CONTINUOUS: &str = include_str!(concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/chat-stream-usage-continuous.sse"
));
const COMPLETION: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/completion-stream.sse"));

fn scanned(text: &str) -> Summary {
    let mut scan = Scan::default();
    let fed = scan.feed(text.as_bytes());
    let summary = scan.summary();
    assert_eq!(fed.content_events, summary.content_events);
    summary
}

fn usage(prompt_tokens: u64, completion_tokens: u64) -> Option<Usage> {
    Some(Usage { prompt_tokens, completion_tokens, cached_tokens: None })
}

#[test]
fn captured_streams_are_counted() {
    let length = Some(Finish::Length);
    let clean = Summary { done_seen: true, clean_end: true, finish: length, ..Summary::default() };
    assert_eq!(
        scanned(CHAT),
        Summary { events: 8, content_events: 5, usage: usage(8, 5), ..clean }
    );
    assert_eq!(
        scanned(CONTINUOUS),
        Summary { events: 6, content_events: 3, usage: usage(8, 3), ..clean }
    );
    assert_eq!(
        scanned(COMPLETION),
        Summary { events: 6, content_events: 4, usage: usage(6, 4), ..clean }
    );
}

#[test]
fn a_stream_that_is_cut_off_is_not_clean() {
    for end in [CHAT.len() - 1, CHAT.len() - 2, CHAT.len() - 14, 900] {
        let summary = scanned(&CHAT[..end]);
        assert_eq!(summary.clean_end, end >= CHAT.len() - 1, "cut at {end}: {summary:?}");
    }
    assert!(!scanned("").clean_end);
}

#[test]
fn errors_and_aborts_are_no_clean_end() {
    for event in [
        r#"data: {"error": {"message": "EngineCore encountered an issue.", "type": "InternalServerError", "code": 500}}"#,
        r#"data: {"object":"error","message":"x","code":500}"#,
        "event: error\ndata: {\"type\":\"overloaded_error\"}",
    ] {
        let summary = scanned(&format!("{event}\n\ndata: [DONE]\n\n"));
        assert_eq!(
            (summary.content_events, summary.error_seen, summary.clean_end),
            (0, true, false),
            "{event}"
        );
    }
    let abort =
        r#"data: {"choices":[{"index":0,"delta":{"content":"a"},"finish_reason":"abort"}]}"#;
    let summary = scanned(&format!("{abort}\n\ndata: [DONE]\n\n"));
    assert_eq!(
        (summary.finish, summary.error_seen, summary.clean_end),
        (Some(Finish::Abort), false, false)
    );
}

#[test]
fn only_content_is_content() {
    let cases = [
        (r#"{"choices":[{"delta":{"role":"assistant","content":""}}]}"#, 0),
        (r#"{"choices":[{"delta":{"role":"assistant","content":null,"tool_calls":[]}}]}"#, 0),
        (r#"{"choices": [{"delta": {"role": "assistant"}}]}"#, 0),
        (r#"{"choices":[{"delta":{"role":"assistant","content":"Hi"}}]}"#, 1),
        (r#"{"choices":[{"delta":{"content":""},"finish_reason":"length"}]}"#, 1),
        (r#"{"choices":[{"delta":{"reasoning":"hm"}}]}"#, 1),
        (r#"{"model":"delta","choices":[{"delta":{"role":"assistant","content":""}}]}"#, 0),
        (r#"{"choices":[],"usage":{"prompt_tokens":1}}"#, 0),
        (r#"{"choices": [ ] }"#, 0),
        (r#"{"choices":[{"text":"\"choices\":[]"}]}"#, 1),
        (r#"{"choices":[{"text":"\"error\":{}"}]}"#, 1),
    ];
    for (data, content) in cases {
        assert_eq!(scanned(&format!("data: {data}\n\n")).content_events, content, "of {data}");
    }
    assert_eq!(scanned(": ping\n\nid: 7\nretry: 10\n\n"), Summary::default());
}

#[test]
fn an_answer_cannot_pretend_to_be_the_frame() {
    let text = r#"{"choices":[{"text":"{\"usage\":{\"prompt_tokens\":9},\"finish_reason\":\"stop\"}","finish_reason":null}],"usage":null}"#;
    let summary = scanned(&format!("data: {text}\n\n"));
    assert_eq!((summary.usage, summary.finish, summary.content_events), (None, None, 1));
}

#[test]
fn usage_after_done_is_read() {
    let content = r#"data: {"choices":[{"index":0,"delta":{"content":"a"}}],"usage":null}"#;
    let last = r#"data: {"choices":[],"usage":{"prompt_tokens":8,"completion_tokens":1}}"#;
    for (between, end) in [("\n\n", "\n\n"), ("\n", "\n\n"), ("\n\n", "\n")] {
        let summary = scanned(&format!("{content}\n\ndata: [DONE]{between}{last}{end}"));
        assert_eq!(summary.usage, usage(8, 1), "{between:?} {end:?}");
        assert_eq!((summary.content_events, summary.done_seen), (1, true), "{between:?} {end:?}");
    }
}

#[test]
fn named_events_of_other_apis_are_read() {
    let responses = "event: response.created\ndata: {\"type\":\"response.created\"}\n\n\
        event: response.output_text.delta\ndata: {\"delta\":\"Hi\"}\n\n\
        event: response.completed\ndata: {\"response\":{\"usage\":{\"input_tokens\":7,\"output_tokens\":1}}}\n\n";
    let summary = scanned(responses);
    assert_eq!((summary.events, summary.content_events, summary.usage), (3, 1, usage(7, 1)));
    assert!(summary.clean_end);
    let messages = "event: message_start\r\ndata: {\"message\":{\"usage\":{\"input_tokens\":7}}}\r\n\r\n\
        event: content_block_delta\r\ndata: {\"delta\":{\"type\":\"text_delta\",\"text\":\"Hi\"}}\r\n\r\n\
        event: message_delta\r\ndata: {\"usage\":{\"output_tokens\":1}}\r\n\r\n\
        event: message_stop\r\ndata: {}\r\n\r\n";
    let summary = scanned(messages);
    assert_eq!((summary.events, summary.content_events, summary.usage), (4, 1, usage(7, 1)));
    assert!(summary.clean_end);
}

#[test]
fn long_lines_are_followed_in_bounded_memory() {
    let long = format!(
        "data: {{\"choices\":[{{\"text\":\"{}\"}}]}}\n\ndata: [DONE]\n\n",
        "x".repeat(100_000)
    );
    let mut scan = Scan::default();
    for part in long.as_bytes().chunks(1000) {
        scan.feed(part);
        assert!(scan.cut_line.len() <= MAX_READ);
    }
    assert_eq!(scan.summary(), scanned(&long));
    assert_eq!(scanned(&long).content_events, 1);
}

/// The same stream in pieces.
fn in_pieces(text: &[u8], cuts: &[prop::sample::Index]) -> (Summary, u32) {
    let mut ends: Vec<usize> =
        cuts.iter().map(|cut| cut.index(text.len() + 1)).chain([text.len()]).collect();
    ends.sort_unstable();
    let (mut scan, mut from, mut content) = (Scan::default(), 0, 0);
    for end in ends {
        content += scan.feed(&text[from..end]).content_events;
        from = end;
    }
    (scan.summary(), content)
}

proptest! {
    #[test]
    fn cuts_change_nothing(
        stream in prop::sample::select(vec![CHAT, CONTINUOUS, COMPLETION]),
        returns in any::<bool>(),
        padding in 0_usize..6000,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
    ) {
        let stream = stream.replacen("\"content\":\"", &format!("\"content\":\"{}", "y".repeat(padding)), 2);
        let text = if returns { stream.replace('\n', "\r\n") } else { stream };
        let (summary, content) = in_pieces(text.as_bytes(), &cuts);
        prop_assert_eq!(summary, scanned(&text));
        prop_assert_eq!(summary.content_events, content);
    }

    #[test]
    fn any_bytes_are_followed_without_a_panic(
        bytes in prop::collection::vec(prop_oneof![any::<u8>(), prop::sample::select(b"data: {}[]\":\n\r".to_vec())], 0..300),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
    ) {
        let whole = in_pieces(&bytes, &[]);
        prop_assert_eq!(in_pieces(&bytes, &cuts), whole);
    }
}
