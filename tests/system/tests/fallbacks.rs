//! The fallback ladder: nothing is lost that could be served, and nothing is tried without end.

use std::net::SocketAddr;

use http::StatusCode;
use qoe_sim::{Config, Role, Server};
use qoe_tests::backend::{Backend, Nowhere, Script, answer_of};
use qoe_tests::bodies::{CHAT, chat, streamed, text_of, with};
use qoe_tests::client::{Answer, post};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use serde_json::{Value, json};

/// The answer is 200 with the text of a plain server; returns the reason and the number of attempts.
async fn is_right(body: &Value, answer: Answer) -> (String, String) {
    assert_eq!(answer.status, 200);
    let told = (answer.header("x-qoe-reason").into(), answer.header("x-qoe-attempts").into());
    let plain = simulator(Role::None).await;
    let expected = text_of(body, &post(plain.addr, CHAT, body).await.whole().await);
    assert_eq!(text_of(body, &answer.whole().await), expected);
    told
}

fn told(reason: &str, attempts: &str) -> (String, String) {
    (reason.to_owned(), attempts.to_owned())
}

#[tokio::test]
async fn without_a_pool_the_other_serves() {
    for (role, reason) in [
        ("decode", "prefill_pool_empty"),
        ("prefill", "decoding_pool_empty"),
        ("both", "prefill_pool_empty"),
    ] {
        let only = simulator(Role::Both).await;
        let proxy = Proxy::start(&always(), &[endpoint("x", only.addr, role)]);
        let body = chat(40, 8);
        let answer = post(proxy.address(), CHAT, &body).await;
        assert_eq!(is_right(&body, answer).await, told(reason, "1"), "{role}");
    }
}

#[tokio::test]
async fn mixed_endpoints_decode_where_no_decoding_one_is() {
    let (p, m) = (simulator(Role::Prefill).await, simulator(Role::Both).await);
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("m", m.addr, "both")];
    let proxy = Proxy::start(&always(), &endpoints);
    let body = streamed(chat(40, 8));
    let answer = post(proxy.address(), CHAT, &body).await;
    assert_eq!(answer.header("x-qoe-decoding"), "m");
    assert_eq!(is_right(&body, answer).await, told("prefill_phase", "1"));
    assert!(m.inspect(|engine| engine.stats().external_kv_transfer) > 0);
}

/// A router over `bad` as first prefill endpoint, and as many good ones; decoding is good.
async fn with_bad_prefill(bad: SocketAddr, good: &[&Server], d: &Server) -> Proxy {
    let mut endpoints = vec![endpoint("bad", bad, "prefill"), endpoint("d", d.addr, "decode")];
    for (i, p) in good.iter().enumerate() {
        endpoints.push(endpoint(&format!("good{i}"), p.addr, "prefill"));
    }
    Proxy::start(&with(always(), "timeouts", json!({"prefillSeconds": 1})), &endpoints)
}

#[tokio::test]
async fn a_prefill_that_fails_goes_to_another_and_then_stays_whole() {
    let hangs = simulator(Role::Prefill).await;
    hangs.pause();
    let killed = simulator(Role::Prefill).await;
    killed.kill().await;
    let breaks = Backend::start(Script::SayAndClose(b"HTTP/1.1 200 OK\r\ncontent-le".into())).await;
    let half = Backend::start(Script::SayAndClose(
        b"HTTP/1.1 200 OK\r\ncontent-length: 900\r\n\r\n{\"choices\":[".into(),
    ))
    .await;
    let full = Backend::start(Script::Say(answer_of("503 Busy", "{}"))).await;
    let broken = Backend::start(Script::Say(answer_of("500 Oh", "{}"))).await;
    let nowhere = Nowhere::bound();
    let bad = [nowhere.addr, killed.addr, breaks.addr, half.addr, full.addr, broken.addr];
    for bad in bad.into_iter().chain([hangs.addr]) {
        let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
        let proxy = with_bad_prefill(bad, &[&p], &d).await;
        let body = streamed(chat(40, 8));
        // Endpoints take turns: one of two requests meets the bad one first.
        let mut attempts = Vec::new();
        for _ in 0..2 {
            let answer = post(proxy.address(), CHAT, &body).await;
            let (reason, tried) = is_right(&body, answer).await;
            assert_eq!(reason, "prefill_phase");
            attempts.push(tried);
        }
        attempts.sort();
        assert_eq!(attempts, ["1", "2"]);
        assert_eq!(proxy.metric("qoe_failures_total", &["endpoint=\"bad\""]).await, 1.0);

        let alone = with_bad_prefill(bad, &[], &d).await;
        let answer = post(alone.address(), CHAT, &body).await;
        assert_eq!(is_right(&body, answer).await, told("prefill_failed", "2"));
    }
    assert_eq!(hangs.inspect(|engine| engine.waiting().0 + engine.running()), 0, "cancelled");
}

#[tokio::test]
async fn a_prefill_without_parameters_is_served_whole_and_distrusted() {
    let (p, d) = (simulator(Role::None).await, simulator(Role::Decoding).await);
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    let body = chat(40, 8);
    for (reason, attempts) in
        [("kv_params_missing", "2"), ("kv_distrusted", "1"), ("kv_distrusted", "1")]
    {
        let answer = post(proxy.address(), CHAT, &body).await;
        assert_eq!(is_right(&body, answer).await, told(reason, attempts));
    }
    assert_eq!(p.inspect(|engine| engine.stats().generation_tokens), 1, "asked once");
    let page = proxy.admin("/debug/endpoints").await;
    assert_eq!(page["endpoints"][0]["kvTrusted"], false);
}

#[tokio::test]
async fn incomplete_parameters_are_not_forwarded() {
    let params = r#"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":1},"kv_transfer_params":{"do_remote_prefill":true,"remote_host":"127.0.0.1"}}"#;
    let p = Backend::start(Script::Say(answer_of("200 OK", params))).await;
    let d = simulator(Role::Decoding).await;
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    let body = chat(40, 8);
    let answer = post(proxy.address(), CHAT, &body).await;
    assert_eq!(is_right(&body, answer).await, told("kv_params_missing", "2"));
    assert!(!d.is_dead());
}

#[tokio::test]
async fn a_lease_that_is_gone_is_mended_by_serving_whole() {
    let lease = std::time::Duration::ZERO;
    let config = Config { role: Role::Prefill, kv_lease: lease, ..Config::default() };
    let (p, d) = (Server::start(config).await.unwrap(), simulator(Role::Decoding).await);
    let other = simulator(Role::Decoding).await;
    let endpoints = [
        endpoint("p", p.addr, "prefill"),
        endpoint("d0", d.addr, "decode"),
        endpoint("d1", other.addr, "decode"),
    ];
    let proxy = Proxy::start(&always(), &endpoints);
    let body = streamed(chat(40, 8));
    let answer = post(proxy.address(), CHAT, &body).await;
    assert_eq!(is_right(&body, answer).await, told("handoff_failed", "2"));
}

#[tokio::test]
async fn a_decoding_endpoint_that_fails_before_its_first_byte_is_replaced() {
    let killed = simulator(Role::Decoding).await;
    killed.kill().await;
    let event =
        r#"data: {"error":{"message":"engine died","type":"InternalServerError","code":500}}"#;
    let stream = |events: &str| {
        format!("HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n{events}").into_bytes()
    };
    let tells = Backend::start(Script::SayAndClose(stream(&format!("{event}\n\n")))).await;
    let empty = Backend::start(Script::SayAndClose(stream(""))).await;
    let full = Backend::start(Script::Say(answer_of("503 Busy", "{}"))).await;
    let broken = Backend::start(Script::Say(answer_of("500 Oh", "{}"))).await;
    let nowhere = Nowhere::bound();
    for bad in [nowhere.addr, killed.addr, tells.addr, empty.addr, full.addr, broken.addr] {
        let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
        let endpoints = [
            endpoint("p", p.addr, "prefill"),
            endpoint("bad", bad, "decode"),
            endpoint("d", d.addr, "decode"),
        ];
        let proxy = Proxy::start(&always(), &endpoints);
        let body = streamed(chat(40, 8));
        let mut all = Vec::new();
        for _ in 0..2 {
            let answer = post(proxy.address(), CHAT, &body).await;
            assert_eq!(answer.header("x-qoe-decoding"), "d");
            all.push(is_right(&body, answer).await);
        }
        all.sort();
        assert_eq!(all, [told("handoff_failed", "2"), told("prefill_phase", "1")]);
        assert_eq!(p.inspect(|engine| engine.stats().generation_tokens), 2, "prefilled once each");
    }
}

#[tokio::test]
async fn when_all_are_full_the_answer_is_503_after_bounded_attempts() {
    let full = answer_of("503 Service Unavailable", r#"{"error":{"message":"queue full"}}"#);
    let mut servers = Vec::new();
    for _ in 0..4 {
        servers.push(Backend::start(Script::Say(full.clone())).await);
    }
    let endpoints: Vec<_> = servers
        .iter()
        .enumerate()
        .map(|(i, s)| endpoint(&format!("e{i}"), s.addr, ["prefill", "decode"][i % 2]))
        .collect();
    let proxy = Proxy::start(&always(), &endpoints);
    let began = tokio::time::Instant::now();
    for _ in 0..100 {
        let answer = post(proxy.address(), CHAT, &chat(40, 8)).await;
        assert_eq!(answer.status, 503);
        assert_eq!(answer.header("retry-after"), "1");
        assert!(answer.json().await["error"]["message"].is_string());
    }
    let attempts: usize = servers.iter().map(|server| server.requests().len()).sum();
    // Prefill's refusal makes one further leg of each request; beyond, 20 % and 10 a second are allowed.
    let allowed = 20 + 10 + (10.0 * began.elapsed().as_secs_f64()).ceil() as usize;
    assert!(attempts <= 200 + allowed, "{attempts} attempts for 100 requests");
    assert!(attempts > 100, "it did try");
}

#[tokio::test]
async fn what_an_endpoint_refuses_is_final() {
    for (status, phase) in [(400, "prefill"), (401, "decode"), (404, "decode"), (422, "prefill")] {
        let refusal = answer_of(&format!("{status} No"), r#"{"error":{"message":"mine"}}"#);
        let refuses = Backend::start(Script::Say(refusal)).await;
        let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
        let other = if phase == "prefill" {
            endpoint("good", d.addr, "decode")
        } else {
            endpoint("good", p.addr, "prefill")
        };
        let endpoints = [endpoint("refuses", refuses.addr, phase), other];
        let proxy = Proxy::start(&always(), &endpoints);
        let answer = post(proxy.address(), CHAT, &chat(40, 8)).await;
        assert_eq!(answer.status, StatusCode::from_u16(status).unwrap());
        assert_eq!(answer.header("x-qoe-attempts"), "1");
        assert_eq!(answer.json().await["error"]["message"], "mine", "its own words");
        assert_eq!(refuses.requests().len(), 1);
        assert_eq!(proxy.record().await["outcome"], "client_error");
    }
}

#[tokio::test]
async fn failing_endpoints_are_left_out_and_seldom_met() {
    let (bad, good) = (simulator(Role::Decoding).await, simulator(Role::Decoding).await);
    bad.fail_next(1000, StatusCode::INTERNAL_SERVER_ERROR);
    let endpoints = [endpoint("bad", bad.addr, "decode"), endpoint("good", good.addr, "decode")];
    let proxy = Proxy::start(&always(), &endpoints);
    for _ in 0..12 {
        assert_eq!(post(proxy.address(), CHAT, &chat(5, 2)).await.status, 200);
    }
    // Three strikes; then it is out for a second, and let in again for one more.
    let met = proxy.metric("qoe_failures_total", &["endpoint=\"bad\""]).await;
    assert!((3.0..=5.0).contains(&met), "{met}");
}
