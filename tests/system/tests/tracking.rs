//! What records and metrics say of requests that ended, and that none of them holds prompt text.

use http::Method;
use qoe_sim::{Config, Profile, Role, Server};
use qoe_tests::bodies::{CHAT, COMPLETIONS, chat, completion, streamed, with};
use qoe_tests::client::{ask, explained, post, send, with_header};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use serde_json::{Value, json};

async fn pair(spec: &Value) -> (Server, Server, Proxy) {
    let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    let proxy = Proxy::start(spec, &endpoints);
    (p, d, proxy)
}

fn seconds(record: &Value, name: &str) -> f64 {
    record[name].as_f64().unwrap_or_else(|| panic!("no {name}: {record}"))
}

#[tokio::test]
async fn a_streamed_handoff_tells_every_part_of_its_time() {
    // A real engine's times, fifty times as fast.
    let config =
        |role| Config { role, profile: Profile::llama_8b_h100(), speed: 50.0, ..Config::default() };
    let p = Server::start(config(Role::Prefill)).await.unwrap();
    let d = Server::start(config(Role::Decoding)).await.unwrap();
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    let proxy =
        Proxy::start(&with(always(), "slo", json!({"ttftMilliseconds": 60_000})), &endpoints);
    let asked = with_header(explained(CHAT, &streamed(chat(500, 40))), "x-request-priority", "1");
    send(proxy.address(), asked).await.whole().await;
    let record = proxy.record().await;
    for (name, value) in [
        ("route", json!("main")),
        ("api", json!("chat_completions")),
        ("model", json!("tiny")),
        ("phase", json!("prefill")),
        ("priority", json!("high")),
        ("plan", json!("handoff")),
        ("prefill", Value::Null),
        ("decoding", Value::Null),
        ("attempts", json!(1)),
        ("outcome", json!("success")),
        ("status", json!(200)),
        ("failure", Value::Null),
        ("tokens", json!(40)),
        ("sla_met", json!(true)),
    ] {
        // `prefill` and `decoding` name an endpoint, and a time.
        if !value.is_null() || name == "failure" {
            assert_eq!(record[name], value, "{name}: {record}");
        }
    }
    let (ttft, total) = (seconds(&record, "ttft"), seconds(&record, "total"));
    assert!(0.0 < ttft && ttft < total, "{record}");
    assert!(seconds(&record, "transfer_and_queue") < ttft, "{record}");
    assert!(seconds(&record, "itl") > 0.0 && seconds(&record, "itl") * 39.0 <= total, "{record}");
    assert!((0.9..=1.0).contains(&seconds(&record, "qoe")), "far inside its promise: {record}");
}

#[tokio::test]
async fn a_promise_that_cannot_be_kept_is_told_as_broken() {
    let (_p, _d, proxy) = pair(&always()).await;
    let asked = with_header(explained(CHAT, &streamed(chat(50, 5))), "x-sla-target-ms", "0.001");
    send(proxy.address(), asked).await.whole().await;
    assert_eq!(proxy.record().await["sla_met"], false);
    assert_eq!(proxy.metric("qoe_sla_total", &["met=\"false\""]).await, 1.0);
    assert_eq!(proxy.metric("qoe_sla_total", &["met=\"true\""]).await, 0.0);
}

#[tokio::test]
async fn metrics_count_what_happened() {
    let (p, d, proxy) = pair(&always()).await;
    for i in 0..5 {
        post(proxy.address(), CHAT, &streamed(chat(40 + i, 6))).await.whole().await;
    }
    for i in 0..3 {
        post(proxy.address(), COMPLETIONS, &completion(60 + i, 4)).await.whole().await;
    }
    post(proxy.address(), CHAT, &with(chat(40, 6), "n", 2)).await.whole().await;
    p.fail_next(1, http::StatusCode::INTERNAL_SERVER_ERROR);
    post(proxy.address(), CHAT, &streamed(chat(90, 6))).await.whole().await;
    assert_eq!(post(proxy.address(), CHAT, &with(chat(4, 6), "temperature", -5)).await.status, 400);
    d.pause();
    let expected = [
        ("qoe_requests_total", vec!["outcome=\"success\"", "route=\"main\""], 10.0),
        ("qoe_requests_total", vec!["outcome=\"client_error\"", "route=\"main\""], 1.0),
        ("qoe_requests_total", vec!["outcome=\"failure\"", "route=\"main\""], 0.0),
        ("qoe_plans_total", vec!["plan=\"handoff\"", "reason=\"prefill_phase\""], 9.0),
        ("qoe_plans_total", vec!["plan=\"local\"", "reason=\"several\""], 1.0),
        ("qoe_plans_total", vec!["plan=\"local\"", "reason=\"prefill_failed\""], 1.0),
        ("qoe_failures_total", vec!["endpoint=\"p\"", "phase=\"prefill\""], 1.0),
        ("qoe_retries_total", vec!["route=\"main\""], 1.0),
        // Five and one streams of 6, three answers of 4, and two samples of 6.
        ("qoe_output_tokens_total", vec!["route=\"main\""], 60.0),
        ("qoe_time_to_first_token_seconds_count", vec!["route=\"main\""], 6.0),
        ("qoe_request_duration_seconds_count", vec!["route=\"main\""], 11.0),
        ("qoe_request_qoe_count", vec!["route=\"main\""], 6.0),
        ("qoe_config_version", vec![], 1.0),
    ];
    for (name, labels, value) in expected {
        assert_eq!(proxy.metric(name, &labels).await, value, "{name} {labels:?}");
    }
    assert_eq!(proxy.records(11).await.len(), 11, "each settled once");
}

#[tokio::test]
async fn each_end_settles_once() {
    let (_p, d, proxy) = pair(&always()).await;
    post(proxy.address(), CHAT, &streamed(chat(40, 6))).await.whole().await;
    d.pause_after(2);
    let mut left = post(proxy.address(), CHAT, &streamed(chat(41, 60))).await;
    left.piece().await.unwrap().unwrap();
    drop(left);
    assert_eq!(proxy.records(2).await[0]["outcome"], "client_gone");
    d.resume();
    d.pause_after(2);
    let cut = post(proxy.address(), CHAT, &streamed(chat(42, 60))).await;
    d.kill().await;
    cut.whole().await;
    let outcomes: Vec<_> =
        proxy.records(3).await.iter().map(|record| record["outcome"].clone()).collect();
    assert_eq!(outcomes, ["failure", "client_gone", "success"]);
    for outcome in ["success", "client_gone", "failure"] {
        let label = format!("outcome=\"{outcome}\"");
        assert_eq!(proxy.metric("qoe_requests_total", &[&label]).await, 1.0, "{outcome}");
    }
    assert_eq!(proxy.in_flight().await, 0);
}

#[tokio::test]
async fn the_last_thousand_are_kept() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    let body = json!({"model": "tiny", "prompt": "x"}).to_string();
    let one = |i: usize, end: &str| {
        let length = body.len();
        format!(
            "POST /tokenize HTTP/1.1\r\nhost: x\r\nx-request-id: r{i}\r\ncontent-length: {length}\r\n{end}\r\n{body}"
        )
    };
    let mut pipeline: String = (0..1004).map(|i| one(i, "")).collect();
    pipeline += &one(1004, "connection: close\r\n");
    let answers = qoe_tests::client::raw(proxy.address(), pipeline.as_bytes()).await;
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 1005);
    let records = proxy.records(1000).await;
    assert_eq!(records.len(), 1000);
    assert_eq!(
        (&records[0]["request_id"], &records[999]["request_id"]),
        (&json!("r1004"), &json!("r5"))
    );
}

#[tokio::test]
async fn no_page_tells_what_was_said() {
    let (p, _d, proxy) = pair(&always()).await;
    let secret = "xyzzy-plugh ";
    let body = with(completion(3, 20), "prompt", secret.repeat(40));
    let request = with_header(explained(COMPLETIONS, &body), "authorization", "Bearer sesame");
    let answer = send(proxy.address(), request).await;
    let text = qoe_tests::bodies::text_of(&body, &answer.whole().await);
    p.fail_next(1, http::StatusCode::INTERNAL_SERVER_ERROR);
    post(proxy.address(), COMPLETIONS, &streamed(body)).await.whole().await;
    proxy.records(2).await;
    for page in ["/debug/requests", "/debug/endpoints", "/config_dump", "/metrics"] {
        let page = proxy.page(page).await;
        for said in ["xyzzy", "sesame", &text[..12]] {
            assert!(!page.contains(said), "{said:?} is in {page}");
        }
    }
}

#[tokio::test]
async fn names_that_clients_make_up_make_no_series() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    let flood = async |from: usize| {
        for i in from..from + 50 {
            let body = with(chat(4, 2), "model", format!("made-up-{i}"));
            let request = ask(Method::POST, CHAT, body.to_string());
            let request = with_header(request, "x-request-priority", &format!("{i}"));
            let request = with_header(request, "x-request-id", &format!("id-{i}"));
            let request = with_header(request, "x-session-id", &format!("session-{i}"));
            assert_eq!(send(proxy.address(), request).await.status, 404);
            let path = format!("/v1/made-up/{i}");
            assert_eq!(send(proxy.address(), ask(Method::GET, &path, "")).await.status, 404);
        }
        post(proxy.address(), CHAT, &chat(4, 2)).await.whole().await;
        proxy.page("/metrics").await.lines().count()
    };
    let first = flood(0).await;
    let second = flood(50).await;
    assert_eq!(first, second);
    assert!(!proxy.page("/metrics").await.contains("made-up"));
}
