//! WebSocket upgrades, end to end.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::time::Duration;

use qoe_tests::backend::{Backend, Nowhere, Script, answer_of};
use qoe_tests::bodies::with;
use qoe_tests::client::get;
use qoe_tests::proxy::{Proxy, always, endpoint};
use qoe_tests::wait::{soon, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const ASK: &[u8] = b"GET /v1/realtime?model=tiny HTTP/1.1\r\nhost: x\r\nconnection: Upgrade\r\nupgrade: websocket\r\nsec-websocket-key: AAAA\r\nsec-websocket-version: 13\r\n\r\n";

/// A client's connection after it asked to upgrade, and the head of the answer.
async fn upgraded(proxy: &Proxy) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(proxy.address()).await.unwrap();
    stream.write_all(ASK).await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(soon("a head", stream.read_u8()).await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

#[tokio::test]
async fn bytes_pass_in_both_directions_until_one_side_ends() {
    let backend = Backend::start(Script::Echo).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let (mut stream, head) = upgraded(&proxy).await;
    assert!(head.starts_with("HTTP/1.1 101"), "{head}");
    assert!(head.to_ascii_lowercase().contains("\r\nupgrade: websocket\r\n"), "{head}");
    let [leg] = &backend.requests()[..] else { panic!("one request") };
    assert_eq!((leg.header("upgrade"), leg.header("sec-websocket-key")), ("websocket", "AAAA"));
    for message in [&b"\x81\x05hello"[..], &[0; 40_000]] {
        stream.write_all(message).await.unwrap();
        let mut echo = vec![0; message.len()];
        soon("an echo", stream.read_exact(&mut echo)).await.unwrap();
        assert_eq!(echo, message);
    }
    assert_eq!(proxy.in_flight().await, 1, "it is in flight as long as it lives");
    drop(stream);
    until("the endpoint is told", async || backend.open() == 0).await;
    until("nothing is in flight", async || proxy.in_flight().await == 0).await;
    assert_eq!(proxy.record().await["outcome"], "success");
}

#[tokio::test]
async fn a_drain_lets_a_tunnel_go_on_until_it_ends() {
    let backend = Backend::start(Script::Echo).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let (address, admin) = (proxy.address(), proxy.admin_address());
    let (mut stream, _) = upgraded(&proxy).await;
    let ending = proxy.draining(Duration::from_secs(60));
    until("new connections are refused", async || TcpStream::connect(address).await.is_err()).await;
    for _ in 0..3 {
        stream.write_all(b"ping").await.unwrap();
        let mut echo = [0; 4];
        soon("an echo", stream.read_exact(&mut echo)).await.unwrap();
    }
    assert_eq!(get(admin, "/live").await.status, 200, "the process waits for the tunnel");
    assert!(!ending.is_finished(), "the drain waits for the tunnel");
    drop(stream);
    soon("the end", ending).await.unwrap();
    assert_eq!(backend.open(), 0, "the endpoint was told");
}

#[tokio::test]
async fn at_the_drains_deadline_a_tunnel_is_closed_on_both_sides() {
    let backend = Backend::start(Script::Echo).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let (mut stream, _) = upgraded(&proxy).await;
    let began = Instant::now();
    let within = Duration::from_millis(300);
    let ending = proxy.draining(within);
    let end = soon("the tunnel's end", stream.read(&mut [0; 16])).await;
    assert_eq!(end.expect("an end, not a reset"), 0);
    assert!(began.elapsed() >= within, "cut after {:?}", began.elapsed());
    until("the endpoint is told", async || backend.open() == 0).await;
    let proxy = soon("the end", ending).await.unwrap();
    let record = proxy.record().await;
    let told = (&record["outcome"], &record["failure"]);
    assert_eq!(told, (&json!("failure"), &json!("drain_deadline")));
}

#[tokio::test]
async fn a_tunnel_in_which_nothing_passes_is_closed_after_the_routes_idle_time() {
    let backend = Backend::start(Script::Echo).await;
    let spec = with(always(), "timeouts", json!({"idleSeconds": 1}));
    let proxy = Proxy::start(&spec, &[endpoint("e", backend.addr, "both")]);
    let (mut stream, _) = upgraded(&proxy).await;
    let end = soon("the tunnel's end", stream.read(&mut [0; 16])).await;
    assert_eq!(end.expect("an end, not a reset"), 0);
    until("the endpoint is told", async || backend.open() == 0).await;
    let record = proxy.record().await;
    let told = (&record["outcome"], &record["failure"]);
    assert_eq!(told, (&json!("success"), &json!("idle")));
}

#[tokio::test]
async fn an_endpoint_may_refuse() {
    let backend = Backend::start(Script::Say(answer_of("403 Forbidden", "{}"))).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let (_stream, head) = upgraded(&proxy).await;
    assert!(head.starts_with("HTTP/1.1 403"), "{head}");
    until("nothing is in flight", async || proxy.in_flight().await == 0).await;
}

#[tokio::test]
async fn an_endpoint_that_is_gone_is_a_502() {
    let gone = Nowhere::bound();
    let proxy = Proxy::start(&always(), &[endpoint("e", gone.addr, "both")]);
    let (_stream, head) = upgraded(&proxy).await;
    assert!(head.starts_with("HTTP/1.1 502"), "{head}");
    assert_eq!(proxy.record().await["outcome"], "failure");
}
