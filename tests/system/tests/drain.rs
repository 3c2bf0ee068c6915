//! The end: what is in flight ends well, and nothing new is taken.

use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use qoe_sim::{Role, Server};
use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat, events, streamed};
use qoe_tests::client::{get, post};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::wait::{soon, until};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::Instant;

const LONG: Duration = Duration::from_secs(60);

async fn proxy() -> (Server, Proxy) {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", server.addr, "both")]);
    (server, proxy)
}

#[tokio::test]
async fn streams_in_flight_end_and_new_connections_are_refused() {
    let (server, proxy) = proxy().await;
    let (address, admin) = (proxy.address(), proxy.admin_address());
    until("ready", async || get(admin, "/ready").await.status == 200).await;
    server.pause_after(3);
    let mut stream = post(address, CHAT, &streamed(chat(40, 9))).await;
    let mut seen = stream.piece().await.unwrap().unwrap().to_vec();
    let ending = proxy.draining(LONG);
    until("new connections are refused", async || TcpStream::connect(address).await.is_err()).await;
    assert_eq!(get(admin, "/ready").await.status, 503);
    assert_eq!(get(admin, "/live").await.status, 200);
    assert!(!ending.is_finished(), "it waits for the stream");
    server.resume();
    seen.extend(stream.whole().await);
    assert!(seen.ends_with(b"data: [DONE]\n\n"));
    soon("the end", ending).await.unwrap();
}

#[tokio::test]
async fn without_anything_in_flight_it_ends_at_once() {
    let (_server, proxy) = proxy().await;
    // An idle connection, kept alive, holds nothing up.
    let idle = TcpStream::connect(proxy.address()).await.unwrap();
    post(proxy.address(), CHAT, &chat(4, 2)).await.whole().await;
    let began = Instant::now();
    soon("the end", proxy.draining(LONG)).await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(idle);
}

#[tokio::test]
async fn at_the_deadline_a_stream_ends_by_an_error_event_and_is_the_routers_failure() {
    let (server, proxy) = proxy().await;
    server.pause_after(3);
    let mut stream = post(proxy.address(), CHAT, &streamed(chat(40, 9))).await;
    stream.piece().await.unwrap().unwrap();
    let ended = proxy.draining(Duration::from_millis(50));
    let rest = String::from_utf8(stream.whole().await.to_vec()).unwrap();
    let last = events(rest.as_bytes()).pop().unwrap_or_default();
    assert!(last.contains("shutting down") && !rest.contains("[DONE]"), "{rest}");
    let proxy = soon("the end", ended).await.unwrap();
    assert_deadline(&proxy, 1, "decoding").await;
    assert_eq!(proxy.metric("qoe_failures_total", &[]).await, 0.0, "not the endpoint's failure");
    until("the engine is let go", async || {
        server.inspect(|engine| engine.running() + engine.waiting().0) == 0
    })
    .await;
}

#[tokio::test]
async fn at_the_deadline_a_request_without_an_answer_is_503_and_says_to_try_again() {
    let backend = Backend::start(Script::Silence).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let address = proxy.address();
    let asked = tokio::spawn(async move { post(address, CHAT, &chat(40, 9)).await });
    until("it is at the endpoint", async || backend.open() == 1).await;
    let ended = proxy.draining(Duration::from_millis(50));
    let answer = soon("a head", asked).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.header("retry-after")), (503, "1"));
    assert_eq!(answer.header("connection"), "close");
    let error = answer.json().await["error"].take();
    assert!(error["message"].as_str().unwrap().contains("shutting down"), "{error}");
    assert_deadline(&soon("the end", ended).await.unwrap(), 1, "decoding").await;
    until("the endpoint is let go", async || backend.open() == 0).await;
}

#[tokio::test]
async fn at_the_deadline_half_an_answer_in_one_piece_breaks() {
    let begin = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 99\r\n\r\n{";
    let backend = Backend::start(Script::Pieces(vec![begin.to_vec(), b"}".to_vec()])).await;
    backend.go_on();
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let answer = post(proxy.address(), CHAT, &chat(40, 9)).await;
    let ended = proxy.draining(Duration::from_millis(50));
    let body = answer.bytes().await;
    assert!(body.is_err(), "a cut answer must not look whole: {body:?}");
    assert_deadline(&soon("the end", ended).await.unwrap(), 1, "decoding").await;
}

#[tokio::test]
async fn at_the_deadline_streams_over_http2_end_by_an_error_event_too() {
    let (_server, proxy) = proxy().await;
    let stream = TcpStream::connect(proxy.address()).await.unwrap();
    let (mut sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let _driver = tokio::spawn(connection);
    let request = |words| {
        let body = Full::<Bytes>::from(streamed(chat(words, 100_000)).to_string());
        Request::post(format!("http://router{CHAT}")).body(body).unwrap()
    };
    let answers = [sender.send_request(request(40)), sender.send_request(request(50))];
    let mut bodies = Vec::new();
    for answer in answers {
        bodies.push(soon("a head", answer).await.unwrap().into_body());
    }
    let ended = proxy.draining(Duration::from_millis(50));
    for body in bodies {
        let rest = soon("a stream's end", body.collect()).await.unwrap().to_bytes();
        let last = events(&rest).pop().unwrap_or_default();
        assert!(last.contains("shutting down"), "{last}");
    }
    assert_deadline(&soon("the end", ended).await.unwrap(), 2, "decoding").await;
}

/// All `count` requests were ended by the router, in `phase`.
async fn assert_deadline(proxy: &Proxy, count: usize, phase: &str) {
    for record in proxy.records(count).await {
        let told = (&record["outcome"], &record["failure"], &record["failed_phase"]);
        assert_eq!(told, (&json!("failure"), &json!("drain_deadline"), &json!(phase)));
    }
}

#[tokio::test]
async fn a_client_that_goes_on_at_once_is_answered_and_told_to_connect_anew() {
    let (server, proxy) = proxy().await;
    let address = proxy.address();
    server.pause_after(3);
    let mut connection = TcpStream::connect(address).await.unwrap();
    let body = streamed(chat(40, 9)).to_string();
    let head = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: h\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    connection.write_all(format!("{head}{body}").as_bytes()).await.unwrap();
    let begun = read_until(&mut connection, "data: ").await;
    assert!(!begun.to_lowercase().contains("connection: close"), "it could not know: {begun}");
    let ending = proxy.draining(LONG);
    until("new connections are refused", async || TcpStream::connect(address).await.is_err()).await;
    server.resume();
    read_until(&mut connection, "0\r\n\r\n").await;
    connection.write_all(b"GET /health HTTP/1.1\r\nhost: h\r\n\r\n").await.unwrap();
    let mut last = String::new();
    connection.read_to_string(&mut last).await.unwrap();
    assert!(last.starts_with("HTTP/1.1 200 "), "{last}");
    assert!(last.to_lowercase().contains("connection: close"), "{last}");
    soon("the end", ending).await.unwrap();
}

/// What comes until `end` has come.
async fn read_until(connection: &mut TcpStream, end: &str) -> String {
    let mut seen = String::new();
    while !seen.contains(end) {
        let mut piece = [0; 4096];
        let read = connection.read(&mut piece).await.expect("it can be read");
        assert!(read > 0, "it ended after {seen:?}");
        seen.push_str(std::str::from_utf8(&piece[..read]).expect("ASCII"));
    }
    seen
}
