//! Faults, and clients that leave.

use http::StatusCode;
use qoe_sim::{Config, Role, Server};
use serde_json::{Value, json};

use crate::common::{chat, events, get, metric, post, request, send, start, until, with};

const CHAT: &str = "/v1/chat/completions";

fn streaming(max_tokens: u32) -> Value {
    with(chat(10, max_tokens), "stream", json!(true))
}

#[tokio::test]
async fn a_stream_that_is_left_is_aborted() {
    let server = start(Role::None).await;
    server.pause_after(3);
    let mut answer = post(&server, CHAT, &streaming(100_000)).await;
    answer.piece().await.unwrap().unwrap();
    assert!(server.inspect(|engine| engine.pool().held()) > 0);
    drop(answer);
    server.resume();
    until(|| server.inspect(|engine| engine.running() + engine.pool().held()) == 0).await;
    assert_eq!(server.inspect(|engine| engine.stats().ends.abort), 1);
}

#[tokio::test]
async fn an_answer_that_nobody_waits_for_is_aborted() {
    let server = start(Role::None).await;
    server.pause();
    let waiting = async {
        post(&server, CHAT, &chat(10, 50)).await;
    };
    tokio::select! {
        () = waiting => panic!("a paused engine answered"),
        () = until(|| server.inspect(|engine| engine.waiting().0) == 1) => {}
    }
    until(|| server.inspect(|engine| engine.waiting().0) == 0).await;
}

#[tokio::test]
async fn a_killed_server_breaks_its_streams() {
    let server = start(Role::None).await;
    server.pause_after(5);
    let mut answer = post(&server, CHAT, &streaming(100)).await;
    let mut seen = Vec::new();
    while events(&seen).len() < 6 {
        seen.extend(answer.piece().await.unwrap().unwrap());
    }
    server.kill().await;
    assert!(answer.bytes().await.is_err(), "the end of a cut stream must not look like an end");
    let again = request(http::Method::GET, "/health", "");
    assert!(send(&server, again).await.is_err());
    assert!(server.is_dead());
}

#[tokio::test]
async fn a_paused_server_goes_on() {
    let server = start(Role::None).await;
    server.pause_after(2);
    let mut answer = post(&server, CHAT, &streaming(6)).await;
    let mut seen = answer.piece().await.unwrap().unwrap().to_vec();
    until(|| server.inspect(|engine| engine.stats().generation_tokens) == 2).await;
    assert_eq!(get(&server, "/health").await.status, 200);
    server.resume();
    seen.extend(answer.bytes().await.unwrap());
    assert_eq!(events(&seen).len(), 1 + 6 + 1);
}

#[tokio::test]
async fn failures_are_counted_down() {
    let server = start(Role::None).await;
    server.fail_next(2, StatusCode::SERVICE_UNAVAILABLE);
    server.fail_next(1, StatusCode::INTERNAL_SERVER_ERROR);
    for status in [503, 503, 500, 200] {
        assert_eq!(get(&server, "/health").await.status, 200);
        assert_eq!(post(&server, CHAT, &chat(3, 1)).await.status, status);
    }
}

#[tokio::test]
async fn a_full_queue_is_503() {
    let config = Config { max_queued: Some(1), ..Config::default() };
    let server = Server::start(config).await.unwrap();
    server.pause();
    let first = post(&server, CHAT, &streaming(1)).await;
    let refused = post(&server, CHAT, &streaming(1)).await;
    assert_eq!(refused.status, 503);
    assert_eq!(refused.json().await["error"]["type"], "Service Unavailable");
    server.resume();
    assert!(first.bytes().await.is_ok());
    let rejected = metric(&server, "vllm:admission_rejections_total{").await;
    assert_eq!(rejected, 1.0);
}
