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

#[tokio::test]
async fn a_stream_cut_anywhere_is_the_same_stream() {
    let token = |text: &str| {
        let choice = json!({"index": 0, "delta": {"content": text}, "finish_reason": null});
        json!({"choices": [choice]}).to_string()
    };
    let usage = json!({"choices": [], "usage": {"prompt_tokens": 9, "completion_tokens": 4}});
    for line_end in ["\n", "\r\n"] {
        let data = [token("a"), token("héé"), token("[DONE]"), usage.to_string(), "[DONE]".into()];
        let body: String = data.iter().map(|d| format!("data: {d}{line_end}{line_end}")).collect();
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n".to_owned();
        let whole = (head + &body).into_bytes();
        for size in [1, 7, 50] {
            let pieces: Vec<_> = whole.chunks(size).map(<[u8]>::to_vec).collect();
            let count = pieces.len();
            let backend = Backend::start(Script::Pieces(pieces)).await;
            (0..count).for_each(|_| backend.go_on());
            let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
            let answer = post(proxy.address(), CHAT, &streamed(chat(4, 5))).await;
            assert_eq!(answer.whole().await, body.as_bytes(), "pieces of {size}");
            let record = proxy.record().await;
            let told = (&record["outcome"], &record["tokens"]);
            assert_eq!(told, (&json!("success"), &json!(4)), "pieces of {size}");
        }
    }
}

#[tokio::test]
async fn endpoints_that_all_say_too_many_are_believed() {
    let busy = b"HTTP/1.1 429 Too Many Requests\r\nretry-after: 7\r\ncontent-length: 2\r\n\r\n{}";
    let servers = [
        Backend::start(Script::Say(busy.to_vec())).await,
        Backend::start(Script::Say(busy.to_vec())).await,
    ];
    let endpoints =
        [endpoint("a", servers[0].addr, "both"), endpoint("b", servers[1].addr, "both")];
    let proxy = Proxy::start(&always(), &endpoints);
    let answer = post(proxy.address(), CHAT, &chat(4, 5)).await;
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (429, "7"));
    assert!(servers.iter().all(|server| server.requests().len() == 1), "each was asked once");
    assert_eq!(proxy.record().await["outcome"], "rejected");
}

#[tokio::test]
async fn only_a_connection_that_was_idle_is_replaced_and_only_once() {
    let first = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{}";
    let backend = Backend::start(Script::SayOnceAndClose(first.to_vec())).await;
    let proxy = Proxy::with_one_worker(&always(), &[endpoint("e", backend.addr, "both")]);
    assert_eq!(post(proxy.address(), CHAT, &chat(4, 5)).await.status, 200);
    // It may have been closed at that very moment.
    assert_eq!(post(proxy.address(), CHAT, &chat(4, 5)).await.status, 200);
    assert_eq!(backend.requests().len(), 3);
    // A fresh connection was not: the endpoint may have begun to work on it.
    let drops = Backend::start(Script::SayAndClose(Vec::new())).await;
    let proxy = Proxy::with_one_worker(&always(), &[endpoint("e", drops.addr, "both")]);
    let answer = post(proxy.address(), CHAT, &chat(4, 5)).await;
    assert_eq!((answer.status.as_u16(), drops.requests().len()), (502, 1));
}
