//! Streams and clients that are unusual, and right.

use http::Method;
use qoe_sim::Role;
use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat, events, streamed};
use qoe_tests::client::{ask, explained, post, raw, send, with_header};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use serde_json::json;

const ROLE: &str = r#"{"choices":[{"index":0,"delta":{"role":"assistant","content":""}}]}"#;
const END: &str = r#"{"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}"#;
const TOOL: &str = r#"{"choices":[{"index":0,"delta":{"tool_calls":[{"index":0,"function":{"name":"f","arguments":"{}"}}]}}]}"#;
const THOUGHT: &str = r#"{"choices":[{"index":0,"delta":{"reasoning_content":"hm"}}]}"#;

#[tokio::test]
async fn streams_without_text_are_answers_too() {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n";
    for between in [vec![], vec![TOOL], vec![THOUGHT]] {
        let sent = [vec![ROLE], between, vec![END, "[DONE]"]].concat();
        let body: String = sent.iter().map(|event| format!("data: {event}\n\n")).collect();
        let stream = format!("{head}: a comment\n\n{body}").into_bytes();
        let backend = Backend::start(Script::SayAndClose(stream)).await;
        let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
        let answer = post(proxy.address(), CHAT, &streamed(chat(4, 5))).await;
        assert_eq!(answer.status, 200, "{sent:?}");
        assert_eq!(events(&answer.whole().await), sent);
        assert_eq!(proxy.record().await["outcome"], "success");
    }
}

#[tokio::test]
async fn a_client_that_offers_h2c_is_served_as_it_is() {
    // Java's client does so with every request over a plain connection.
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    let mut request = explained(CHAT, &chat(4, 5));
    for (name, value) in [
        ("connection", "Upgrade, HTTP2-Settings"),
        ("upgrade", "h2c"),
        ("http2-settings", "AAEAAEAAAAIAAAABAAMAAABkAAQBAAAAAAUAAEAA"),
    ] {
        request = with_header(request, name, value);
    }
    let answer = send(proxy.address(), request).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-qoe-plan")), (200, "local"));
    assert_eq!(answer.json().await["usage"]["completion_tokens"], 5);
}

#[tokio::test]
async fn an_upgrade_that_nobody_can_serve_is_a_failure_and_no_departure() {
    let proxy = Proxy::start(&always(), &[]);
    let ask = "GET /v1/realtime?model=tiny HTTP/1.1\r\nhost: x\r\nconnection: upgrade, close\r\nupgrade: websocket\r\n\r\n";
    let answer = raw(proxy.address(), ask.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
    assert_eq!(proxy.record().await["outcome"], "failure");
}

#[tokio::test]
async fn without_any_endpoint_it_is_503_and_says_what_to_check() {
    let proxy = Proxy::start(&always(), &[]);
    let answer = post(proxy.address(), CHAT, &chat(4, 5)).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    let error = answer.json().await["error"].take();
    assert_eq!(error["type"], json!("ServiceUnavailableError"));
    assert!(error["message"].as_str().unwrap().contains("`main`"), "{error}");
}

#[tokio::test]
async fn all_lines_of_connection_count() {
    let backend =
        Backend::start(Script::Say(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_vec()))
            .await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let mut request = ask(Method::POST, CHAT, chat(4, 5).to_string());
    for (name, value) in [
        ("connection", "x-one"),
        ("connection", "keep-alive, x-two"),
        ("x-one", "1"),
        ("x-two", "2"),
        ("x-three", "3"),
    ] {
        request = with_header(request, name, value);
    }
    assert_eq!(send(proxy.address(), request).await.status, 200);
    let [leg] = &backend.requests()[..] else { panic!("one request") };
    assert_eq!((leg.header("x-one"), leg.header("x-two"), leg.header("x-three")), ("", "", "3"));
}
