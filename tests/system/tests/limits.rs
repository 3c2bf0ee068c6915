//! What is refused, and how it is told.

use http::Method;
use qoe_sim::Role;
use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat, streamed, with};
use qoe_tests::client::{ask, get, post, raw, send, with_header};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::wait::until;
use serde_json::{Value, json};

#[tokio::test]
async fn a_body_beyond_the_limit_is_413_announced_or_not() {
    let backend = Backend::start(Script::Silence).await;
    let spec = with(always(), "limits", json!({"maxBodyBytes": 2048}));
    let proxy = Proxy::start(&spec, &[endpoint("e", backend.addr, "both")]);
    let announced = post(proxy.address(), CHAT, &chat(1000, 2)).await;
    assert_eq!(announced.status, 413);
    let error = announced.json().await["error"].take();
    assert!(error["message"].as_str().unwrap().contains("limits.maxBodyBytes"), "{error}");
    let body = chat(1000, 2).to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n"
    );
    let chunked = format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len());
    let answer = raw(proxy.address(), chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    // Announced, it is refused before it is sent.
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\n"
    );
    let answer = raw(proxy.address(), head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_chunked_body_within_the_limit_arrives_whole() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    let body = chat(300, 2).to_string();
    let (one, two) = body.split_at(700);
    let chunked = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\n{:x}\r\n{one}\r\n{:X};ext=1\r\n{two}\r\n0\r\ntrailer: 1\r\n\r\n",
        one.len(),
        two.len()
    );
    let answer = raw(proxy.address(), chunked.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    assert!(server.inspect(|engine| engine.stats().prompt_tokens) >= 300);
}

#[tokio::test]
async fn long_targets_and_large_heads_are_refused() {
    let backend = Backend::start(Script::Silence).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let long = format!("{CHAT}?{}", "x".repeat(9000));
    let answer = get(proxy.address(), &long).await;
    assert_eq!(answer.status, 414);
    assert_eq!(answer.json().await["error"]["code"], 414);
    // Around 64 KiB it is the router that refuses, far beyond it hyper.
    for kib in [66, 80, 100, 300] {
        let large = format!(
            "GET /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\nx-large: {}\r\n\r\n",
            "x".repeat(kib * 1024)
        );
        let answer = raw(proxy.address(), large.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 431"), "{kib} KiB: {answer}");
    }
    let fits = with_header(ask(Method::GET, "/v1/models", ""), "x-large", &"x".repeat(60 * 1024));
    assert_eq!(send(proxy.address(), fits).await.status, 200);
    let answer = get(proxy.address(), CHAT).await;
    assert_eq!(answer.status, 405);
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn one_request_too_many_is_429_and_a_place_is_free_again_afterwards() {
    let server = simulator(Role::Both).await;
    let spec = with(always(), "limits", json!({"maxInFlight": 2, "maxQueued": 0}));
    let proxy = Proxy::start(&spec, &[endpoint("e", server.addr, "both")]);
    let first = post(proxy.address(), CHAT, &streamed(chat(10, 100_000))).await;
    let second = post(proxy.address(), CHAT, &streamed(chat(11, 100_000))).await;
    for _ in 0..3 {
        let refused = post(proxy.address(), CHAT, &chat(12, 5)).await;
        assert_eq!((refused.status.as_u16(), refused.header("retry-after")), (429, "1"));
        let error = refused.json().await["error"].take();
        assert_eq!((&error["type"], &error["route"]), (&json!("RateLimitError"), &json!("main")));
    }
    drop(first);
    until("its place is free", async || proxy.in_flight().await == 1).await;
    assert_eq!(post(proxy.address(), CHAT, &chat(13, 5)).await.status, 200);
    drop(second);
}

#[tokio::test]
async fn bad_bodies_are_400_in_openais_shape_and_go_nowhere() {
    let backend = Backend::start(Script::Silence).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let deep =
        format!(r#"{{"model":"tiny","messages":{}1{}}}"#, "[".repeat(5000), "]".repeat(5000));
    let bodies: [(&[u8], Value); 12] = [
        (b"", Value::Null),
        (b"hello", Value::Null),
        (b"[]", Value::Null),
        (b"\"tiny\"", Value::Null),
        (br#"{"model":"tiny""#, Value::Null),
        (br#"{"model":"tiny"}x"#, Value::Null),
        (b"{\"model\":\"tiny\",\"user\":\"\xff\"}", Value::Null),
        (br#"{"model":"tiny","user":"\x"}"#, Value::Null),
        (br#"{"model":"tiny","model":"tiny"}"#, json!("model")),
        (br#"{"model":"tiny","mod\u0065l":"huge"}"#, json!("model")),
        (br#"{"model":7}"#, json!("model")),
        (deep.as_bytes(), Value::Null),
    ];
    for (body, param) in bodies {
        let request = ask(Method::POST, CHAT, body.to_vec());
        let answer = send(proxy.address(), request).await;
        let body = String::from_utf8_lossy(&body[..body.len().min(60)]).into_owned();
        assert_eq!(answer.status, 400, "{body}");
        assert_eq!(answer.header("content-type"), "application/json");
        assert_eq!(answer.header("x-request-id").len(), 32);
        let error = answer.json().await["error"].take();
        assert_eq!((&error["type"], &error["code"]), (&json!("BadRequestError"), &json!(400)));
        assert!(error["message"].as_str().is_some_and(|m| !m.is_empty() && m.len() < 400));
        assert_eq!(error["param"], param, "{body}");
    }
    assert!(backend.requests().is_empty());
}

#[tokio::test]
async fn a_prompt_of_ten_megabytes_is_handed_over() {
    let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    // One long line of an unused member: the prompt itself must fit the model.
    let body = with(chat(40, 3), "user", "x".repeat(10 << 20));
    let answer = post(proxy.address(), CHAT, &body).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-qoe-plan")), (200, "handoff"));
}

#[tokio::test]
async fn header_values_that_make_no_sense_are_counted_and_nothing_more() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    let mut request = ask(Method::POST, CHAT, chat(4, 2).to_string());
    for (name, value) in [
        ("x-request-priority", "9"),
        ("x-sla-target-ms", "soon"),
        ("x-expected-output-tokens", "-1"),
    ] {
        request = with_header(request, name, value);
    }
    assert_eq!(send(proxy.address(), request).await.status, 200);
    assert_eq!(proxy.metric("qoe_ignored_headers_total", &[]).await, 3.0);
    let record = proxy.record().await;
    assert_eq!(record["priority"], "medium");
}
