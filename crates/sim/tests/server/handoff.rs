//! The NIXL pull handoff between servers in one process.

use std::time::Duration;

use qoe_sim::{Config, Role, Server};
use serde_json::{Value, json};

use crate::common::{chat, get, metric, post, request, send, start, text, until, with};

const CHAT: &str = "/v1/chat/completions";

/// Prefills on a server and returns the parameters for the decoding one.
async fn prefill(server: &Server, body: &Value) -> Value {
    let body = with(body.clone(), "max_tokens", json!(1));
    let body = with(body, "kv_transfer_params", json!({"do_remote_decode": true}));
    let answer = post(server, CHAT, &body).await.json().await;
    answer["kv_transfer_params"].clone()
}

fn leases(server: &Server) -> usize {
    server.inspect(|engine| engine.leases())
}

fn held(server: &Server) -> usize {
    server.inspect(|engine| engine.pool().held())
}

#[tokio::test]
async fn a_handoff_writes_what_a_plain_server_writes() {
    let (p, d) = (start(Role::Prefill).await, start(Role::Decoding).await);
    let plain = start(Role::None).await;
    let body = chat(60, 20);
    let params = prefill(&p, &body).await;
    assert_eq!(leases(&p), 1);
    let handed = post(&d, CHAT, &with(body.clone(), "kv_transfer_params", params)).await;
    let handed = handed.json().await;
    let local = post(&plain, CHAT, &body).await.json().await;
    assert_eq!(text(&handed), text(&local));
    until(|| leases(&p) == 0 && held(&p) == 0).await;
    let moved = metric(
        &d,
        r#"vllm:prompt_tokens_by_source_total{engine="0",model_name="tiny",source="external_kv"#,
    );
    assert_eq!(moved.await, handed["usage"]["prompt_tokens"].as_f64().unwrap());
    assert_eq!(metric(&d, "vllm:nixl_xfer_time_seconds_count{").await, 1.0);
}

#[tokio::test]
async fn the_transfer_takes_its_time() {
    // Engine time: real time would make the test slow.
    let config = |role| Config {
        role,
        profile: qoe_sim::Profile::llama_8b_h100(),
        kv_gigabits_per_second: 1.0,
        speed: 1000.0,
        ..Config::default()
    };
    let p = Server::start(config(Role::Prefill)).await.unwrap();
    let d = Server::start(config(Role::Decoding)).await.unwrap();
    let body = chat(1000, 2);
    let params = prefill(&p, &body).await;
    post(&d, CHAT, &with(body, "kv_transfer_params", params)).await.json().await;
    // 1,000 tokens of 128 KiB at 1 Gb/s: more than a second.
    let first = metric(&d, "vllm:time_to_first_token_seconds_sum{").await;
    assert!(first > 1.0, "{first}");
}

#[tokio::test]
async fn the_wrong_kv_makes_the_wrong_text() {
    let (p, d) = (start(Role::Prefill).await, start(Role::Decoding).await);
    let (one, other) = (chat(30, 12), chat(33, 12));
    let params = prefill(&p, &one).await;
    let right = post(&d, CHAT, &with(one, "kv_transfer_params", params.clone())).await;
    let right = right.json().await;
    // After the first read the content is still found for a while, as wrong without an error as with vLLM.
    let wrong = post(&d, CHAT, &with(other.clone(), "kv_transfer_params", params)).await;
    assert_eq!(wrong.status, 200);
    let wrong = wrong.json().await;
    assert_eq!(text(&wrong), text(&right));
    let plain = start(Role::None).await;
    assert_ne!(text(&wrong), text(&post(&plain, CHAT, &other).await.json().await));
}

#[tokio::test]
async fn an_expired_lease_is_an_error_and_frees_its_blocks() {
    let config = Config { role: Role::Prefill, kv_lease: Duration::ZERO, ..Config::default() };
    let p = Server::start(config).await.unwrap();
    let d = start(Role::Decoding).await;
    let body = chat(30, 5);
    let params = prefill(&p, &body).await;
    let answer = post(&d, CHAT, &with(body, "kv_transfer_params", params)).await;
    assert_eq!(answer.status, 500);
    assert_eq!(answer.json().await["error"]["message"], "Internal server error");
    assert_eq!(held(&p), 0);
    assert_eq!(metric(&p, "vllm:nixl_num_kv_expired_reqs_total{").await, 1.0);
    assert_eq!(metric(&d, "vllm:nixl_num_failed_transfers_total{").await, 1.0);
}

#[tokio::test]
async fn a_prefill_server_that_is_gone_is_an_error() {
    let p = start(Role::Prefill).await;
    let config = Config {
        role: Role::Decoding,
        pull_timeout: Duration::from_millis(1),
        ..Config::default()
    };
    let d = Server::start(config).await.unwrap();
    let body = chat(30, 5);
    let params = prefill(&p, &body).await;
    p.kill().await;
    let answer = post(&d, CHAT, &with(body.clone(), "kv_transfer_params", params)).await;
    assert_eq!(answer.status, 500);
    assert_eq!(post(&d, CHAT, &body).await.status, 200, "the engine lives on");
}

#[tokio::test]
async fn the_server_that_prefilled_cannot_pull_from_itself() {
    let server = start(Role::Both).await;
    let body = chat(30, 5);
    let params = prefill(&server, &body).await;
    let answer = post(&server, CHAT, &with(body, "kv_transfer_params", params)).await;
    assert_eq!(answer.status, 500);
    assert!(!server.is_dead());
}

#[tokio::test]
async fn incomplete_params_kill_the_engine() {
    let d = start(Role::Decoding).await;
    let body = with(chat(3, 999_999), "kv_transfer_params", json!({"do_remote_prefill": true}));
    assert_eq!(post(&d, CHAT, &body).await.status, 400);
    assert!(d.is_dead());
    d.stopped().await;
    let next = request(http::Method::GET, "/health", "");
    // The listener closes in its own task, so a connection that was accepted before it still gets an answer.
    if let Ok(answer) = send(&d, next).await {
        assert_eq!(answer.status, 500);
    }
}

#[tokio::test]
async fn a_server_without_connector_ignores_params() {
    let server = start(Role::None).await;
    let body = with(chat(3, 2), "kv_transfer_params", json!({"do_remote_prefill": true}));
    assert_eq!(post(&server, CHAT, &body).await.status, 200);
    let answer = prefill(&server, &chat(3, 1)).await;
    assert_eq!(answer, Value::Null);
    assert_eq!(leases(&server), 0);
}

#[tokio::test]
async fn a_refused_decoding_leg_frees_the_prefill() {
    let (p, d) = (start(Role::Prefill).await, start(Role::Decoding).await);
    let params = prefill(&p, &chat(30, 5)).await;
    let body = with(chat(30, 999_999), "kv_transfer_params", params);
    assert_eq!(post(&d, CHAT, &body).await.status, 400);
    until(|| leases(&p) == 0).await;
    assert_eq!(get(&d, "/health").await.status, 200);
}

#[tokio::test]
async fn a_decoding_client_that_leaves_frees_both() {
    let (p, d) = (start(Role::Prefill).await, start(Role::Decoding).await);
    let body = chat(30, 5000);
    let params = prefill(&p, &body).await;
    d.pause();
    let body = with(with(body, "kv_transfer_params", params), "stream", json!(true));
    let answer = post(&d, CHAT, &body).await;
    assert_eq!(d.inspect(|engine| engine.waiting().0), 1);
    drop(answer);
    until(|| d.inspect(|engine| engine.waiting().0) == 0 && leases(&p) == 0).await;
    assert_eq!((held(&p), held(&d)), (0, 0));
}

#[tokio::test]
async fn a_prefill_that_waits_for_blocks_starts_when_a_lease_is_read() {
    // Blocks for one prompt of 61 to 99 tokens, not for two.
    let config = Config { role: Role::Prefill, kv_blocks: Some(7), ..Config::default() };
    let (p, d) = (Server::start(config).await.unwrap(), start(Role::Decoding).await);
    let params = prefill(&p, &chat(60, 5)).await;
    let handed = with(chat(60, 5), "kv_transfer_params", params);
    let other =
        with(chat(60, 5), "messages", json!([{"role": "user", "content": "sit ".repeat(60)}]));
    let read = async {
        until(|| p.inspect(|engine| engine.waiting().0) == 1).await;
        post(&d, CHAT, &handed).await.status
    };
    let both = async { tokio::join!(prefill(&p, &other), read) };
    let (params, status) = tokio::time::timeout(Duration::from_secs(10), both).await.unwrap();
    assert!(params.is_object() && status == 200, "{params} {status}");
}
