//! Requests that two readers of HTTP/1.1 might frame differently: nothing of theirs becomes a second request.

use qoe_tests::backend::{Backend, Script, answer_of};
use qoe_tests::client::{raw, raw_and_no_more};
use qoe_tests::proxy::{Proxy, always, endpoint};

const ANSWER: &str = r#"{"choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1}}"#;
/// 13 bytes: a body of its own.
const BODY: &str = r#"{"prompt":""}"#;
/// What must never arrive.
const SMUGGLED: &str = "GET /smuggled HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";

/// A request with these header lines, and the smuggled one after its body.
fn with_headers(lines: &str, body: &str) -> String {
    format!("POST /v1/completions HTTP/1.1\r\nhost: x\r\n{lines}\r\n\r\n{body}{SMUGGLED}")
}

/// Framings that are ambiguous, or plain wrong.
fn cases() -> Vec<String> {
    let chunked = format!("d\r\n{BODY}\r\n0\r\n\r\n");
    let te = "transfer-encoding: chunked";
    let mut cases: Vec<String> = [
        // Two framings.
        format!("content-length: 13\r\n{te}"),
        format!("{te}\r\ncontent-length: 13"),
        format!("content-length: 13\r\ncontent-length: 14\r\n{te}"),
        "transfer-encoding: chunked, identity".to_owned(),
        "transfer-encoding: identity, chunked".to_owned(),
        "transfer-encoding: chunked\r\ntransfer-encoding: identity".to_owned(),
        "transfer-encoding: xchunked\r\ncontent-length: 13".to_owned(),
        "transfer-encoding : chunked\r\ncontent-length: 13".to_owned(),
        "transfer-encoding:\u{b}chunked\r\ncontent-length: 13".to_owned(),
        "transfer-encoding:\tchunked\r\ncontent-length: 13".to_owned(),
        "transfer-encoding: \"chunked\"\r\ncontent-length: 13".to_owned(),
        "x: y\r\n transfer-encoding: chunked\r\ncontent-length: 13".to_owned(),
        "transfer-encoding:\r\n chunked\r\ncontent-length: 13".to_owned(),
        "transfer-encoding: chunked\r\n\tx\r\ncontent-length: 13".to_owned(),
    ]
    .iter()
    .map(|lines| with_headers(lines, &chunked))
    .collect();
    cases.extend(
        [
            // Lengths that are none, or several.
            "content-length: 13\r\ncontent-length: 14",
            "content-length: 13\r\ncontent-length: 0",
            "content-length: 13, 13",
            "content-length: 13, 14",
            "content-length: +13",
            "content-length: -13",
            "content-length: 0x0d",
            "content-length: 13a",
            "content-length: 1 3",
            "content-length: ",
            "content-length: 99999999999999999999999999",
            "content-length : 13",
            " content-length: 13",
            "content-length\r\n: 13",
            "content-length:\r\n 13",
            "content-length: 13\u{b}",
            "content_length: 13",
            "content-length: 13\r\nconnection: content-length",
        ]
        .iter()
        .map(|lines| with_headers(lines, BODY)),
    );
    cases.extend(chunks().iter().map(|chunks| with_headers(te, chunks)));
    cases.extend(lines());
    cases
}

/// Bodies in chunks that are framed wrongly.
fn chunks() -> [String; 13] {
    [
        format!("d \r\n{BODY}\r\n0\r\n\r\n"),
        format!("0xd\r\n{BODY}\r\n0\r\n\r\n"),
        format!("+d\r\n{BODY}\r\n0\r\n\r\n"),
        format!("-1\r\n{BODY}\r\n0\r\n\r\n"),
        format!("g\r\n{BODY}\r\n0\r\n\r\n"),
        format!("\r\nd\r\n{BODY}\r\n0\r\n\r\n"),
        format!("d\n{BODY}\n0\n\n"),
        format!("d\r{BODY}\r0\r\r"),
        format!("d\r\n{BODY}0\r\n\r\n"),
        format!("c\r\n{BODY}\r\n0\r\n\r\n"),
        format!("1000000000000000d\r\n{BODY}\r\n0\r\n\r\n"),
        format!("d;a=\n\r\n{BODY}\r\n0\r\n\r\n"),
        format!("d\r\n{BODY}\r\n0\r\ncontent-length: 99\r\nx y\r\n\r\n"),
    ]
}

/// Request lines and line ends that are wrong.
fn lines() -> [String; 10] {
    let rest = format!("content-length: 13\r\n\r\n{BODY}{SMUGGLED}");
    [
        format!("POST /v1/completions HTTP/1.1\nhost: x\n\n{SMUGGLED}"),
        format!("POST /v1/completions HTTP/1.1\rhost: x\r\n{rest}"),
        format!("POST /v1/completions HTTP/1.1\r\nhost: x\rx: y\r\n{rest}"),
        format!("POST /v1/completions HTTP/1.1\r\nhost: x\0\r\n{rest}"),
        format!("POST  /v1/completions  HTTP/1.1\r\nhost: x\r\n{rest}"),
        format!("POST /v1/completions\r\n{rest}"),
        format!("POST /v1/completions HTTP/1.1 x\r\nhost: x\r\n{rest}"),
        format!("POST /v1/completions HTTP/3.1\r\nhost: x\r\n{rest}"),
        format!("POST /v1/completions\u{b}HTTP/1.1\r\nhost: x\r\n{rest}"),
        format!("POST http://x/smuggled HTTP/1.1\r\nhost: x\r\n{rest}"),
    ]
}

#[tokio::test]
async fn nothing_is_smuggled() {
    let backend = Backend::start(Script::Say(answer_of("200 OK", ANSWER))).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let cases = cases();
    assert!(cases.len() > 50);
    for case in cases {
        let before = backend.requests().len();
        let answer = raw_and_no_more(proxy.address(), case.as_bytes()).await;
        let requests = backend.requests().split_off(before);
        assert!(requests.len() <= 1, "{case:?}: {requests:?}");
        for request in &requests {
            assert_eq!(request.target(), "/v1/completions", "{case:?}");
            assert_eq!(request.header("transfer-encoding"), "", "framed anew");
            assert_eq!(request.header("content-length"), request.body.len().to_string());
            let body = String::from_utf8_lossy(&request.body).into_owned();
            assert!(!body.contains("smuggled"), "{case:?}: {body}");
        }
        let refused = answer.is_empty() || answer.starts_with("HTTP/1.1 4");
        assert!(refused || requests.len() == 1, "{case:?}: {answer}");
        assert!(!answer.contains("HTTP/1.1 5"), "{case:?}: {answer}");
    }
}

#[tokio::test]
async fn the_same_without_tricks_passes() {
    // Otherwise the table above would prove nothing.
    let backend = Backend::start(Script::Say(answer_of("200 OK", ANSWER))).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    for (lines, body) in [
        ("content-length: 13", BODY.to_owned()),
        ("transfer-encoding: chunked", format!("d\r\n{BODY}\r\n0\r\n\r\n")),
    ] {
        let request = format!(
            "POST /v1/completions HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{lines}\r\n\r\n{body}"
        );
        let answer = raw(proxy.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with(ANSWER), "{answer}");
    }
    assert!(backend.requests().iter().all(|request| request.body == BODY.as_bytes()));
    assert_eq!(backend.requests().len(), 2);
}
