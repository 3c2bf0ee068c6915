//! Connections: HTTP/1.1 in all its uses, h2c, and clients that read slowly.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use qoe_sim::{Role, Server};
use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat, events, streamed, streamed_text};
use qoe_tests::client::{post, raw};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::tap::Tap;
use qoe_tests::wait::{soon, until};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;

async fn before(server: &Server) -> Proxy {
    Proxy::start(&always(), &[endpoint("e", server.addr, "both")])
}

/// A client that speaks HTTP/2 from the first byte, and the task that drives it.
async fn h2(proxy: &Proxy) -> (SendRequest<Full<Bytes>>, JoinSet<()>) {
    h2_to(proxy.address()).await
}

async fn h2_to(address: SocketAddr) -> (SendRequest<Full<Bytes>>, JoinSet<()>) {
    let stream = TcpStream::connect(address).await.unwrap();
    let (sender, connection) =
        http2::handshake(TokioExecutor::new(), TokioIo::new(stream)).await.unwrap();
    let driver = JoinSet::from_iter([async move { drop(connection.await) }]);
    (sender, driver)
}

fn over_h2(body: &Value) -> Request<Full<Bytes>> {
    let uri = format!("http://router{CHAT}");
    Request::post(uri).body(Full::from(body.to_string())).unwrap()
}

#[tokio::test]
async fn two_streams_share_one_h2_connection() {
    let server = simulator(Role::Both).await;
    let proxy = before(&server).await;
    let (mut sender, _driver) = h2(&proxy).await;
    server.pause();
    let bodies = [streamed(chat(10, 5)), streamed(chat(11, 5))];
    let asking = bodies.each_ref().map(|body| sender.send_request(over_h2(body)));
    let [one, two] = asking;
    let (one, two, ()) = tokio::join!(soon("a head", one), soon("a head", two), async {
        until("both are there at once", async || {
            server.inspect(|engine| engine.running() + engine.waiting().0) == 2
        })
        .await;
        server.resume();
    });
    let answers = [one.unwrap(), two.unwrap()];
    for (body, answer) in bodies.iter().zip(answers) {
        assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
        let over = soon("a stream's end", answer.into_body().collect()).await.unwrap().to_bytes();
        assert_eq!(events(&over).last().map(String::as_str), Some("[DONE]"));
        let direct = post(server.addr, CHAT, body).await.whole().await;
        assert_eq!(streamed_text(&over), streamed_text(&direct));
    }
}

#[tokio::test]
async fn a_reset_h2_stream_is_a_client_that_left_and_its_neighbour_goes_on() {
    let server = simulator(Role::Both).await;
    let proxy = before(&server).await;
    let (mut sender, _driver) = h2(&proxy).await;
    let mut gone = sender.send_request(over_h2(&streamed(chat(10, 100_000)))).await.unwrap();
    gone.body_mut().frame().await.unwrap().unwrap();
    server.pause();
    let stays = sender.send_request(over_h2(&streamed(chat(11, 5))));
    drop(gone);
    until("its place is free", async || server.inspect(|engine| engine.stats().ends.abort) == 1)
        .await;
    server.resume();
    let stays = soon("a head", stays).await.unwrap().into_body();
    let body = soon("a stream's end", stays.collect()).await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"));
    let outcomes = proxy.records(2).await;
    assert_eq!(outcomes[1]["outcome"], "client_gone");
    assert_eq!(outcomes[0]["outcome"], "success");
}

#[tokio::test]
async fn a_lost_h2_connection_ends_all_of_its_streams() {
    let server = simulator(Role::Both).await;
    let proxy = before(&server).await;
    let tap = Tap::before(proxy.address()).await;
    let (mut sender, _driver) = h2_to(tap.addr).await;
    let mut streams = Vec::new();
    for i in 0..20 {
        let asked = sender.send_request(over_h2(&streamed(chat(10 + i, 100_000))));
        streams.push(soon("a head", asked).await.unwrap());
    }
    assert_eq!(proxy.in_flight().await, 20);
    tap.cut();
    until("the engine is idle", async || server.inspect(|engine| engine.running()) == 0).await;
    let records = proxy.records(20).await;
    assert!(records.iter().all(|record| record["outcome"] == "client_gone"), "{records:?}");
    assert_eq!(proxy.in_flight().await, 0);
}

fn pipelined(bodies: &[Value]) -> String {
    let one = |body: &Value| {
        let body = body.to_string();
        let length = body.len();
        format!("POST {CHAT} HTTP/1.1\r\nhost: x\r\ncontent-length: {length}\r\n\r\n{body}")
    };
    bodies.iter().map(one).collect()
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_their_order() {
    let server = simulator(Role::Both).await;
    let proxy = before(&server).await;
    let bodies: Vec<_> = (2..6).map(|tokens| chat(10, tokens)).collect();
    let last = "GET /health HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answers = raw(proxy.address(), (pipelined(&bodies) + last).as_bytes()).await;
    let counts: Vec<_> = answers.split("\"completion_tokens\":").skip(1).map(|s| &s[..1]).collect();
    assert_eq!(counts, ["2", "3", "4", "5"], "{answers}");
    assert_eq!(answers.matches("HTTP/1.1 200").count(), 5);
}

#[tokio::test]
async fn connections_to_endpoints_are_used_again_and_replaced_when_closed() {
    let server = simulator(Role::Both).await;
    let tap = Tap::before(server.addr).await;
    let proxy = Proxy::with_one_worker(&always(), &[endpoint("e", tap.addr, "both")]);
    for _ in 0..5 {
        assert_eq!(post(proxy.address(), CHAT, &chat(5, 2)).await.status, 200);
        post(proxy.address(), CHAT, &streamed(chat(5, 2))).await.whole().await;
    }
    assert_eq!(tap.connections_with(CHAT), 1, "ten requests on one connection");
    tap.cut();
    assert_eq!(post(proxy.address(), CHAT, &chat(5, 2)).await.status, 200);
    assert_eq!(proxy.metric("qoe_failures_total", &[]).await, 0.0, "no failure of the endpoint");
}

#[tokio::test]
async fn head_and_wrong_methods() {
    let server = simulator(Role::Both).await;
    let proxy = before(&server).await;
    let head = "HEAD /v1/models HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    let answer = raw(proxy.address(), head.as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("\r\n\r\n"), "{answer}");
    for request in ["CONNECT x:1", "TRACE /v1/embeddings", "DELETE /v1/completions"] {
        let request = format!("{request} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
        let answer = raw(proxy.address(), request.as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
}

#[tokio::test]
async fn an_idle_connection_is_closed_after_its_own_limit_and_serves_until_then() {
    let server = simulator(Role::Both).await;
    let spec = &always();
    let proxy = Proxy::with_short_idle(spec, &[endpoint("e", server.addr, "both")]);
    let mut connection = TcpStream::connect(proxy.address()).await.unwrap();
    let mut asked = Instant::now();
    for _ in 0..2 {
        asked = Instant::now();
        connection.write_all(pipelined(&[chat(10, 2)]).as_bytes()).await.unwrap();
        let mut answer = vec![0; 4096];
        let read = soon("an answer", connection.read(&mut answer)).await.unwrap();
        let answer = String::from_utf8_lossy(&answer[..read]).to_lowercase();
        assert!(answer.starts_with("http/1.1 200") && !answer.contains("connection: close"));
    }
    assert_eq!(soon("the close", connection.read_to_end(&mut Vec::new())).await.unwrap(), 0);
    assert!(asked.elapsed() >= Duration::from_secs(1), "{:?}", asked.elapsed());
}

#[tokio::test]
async fn an_idle_h2_connection_gets_goaway_after_the_same_limit_and_a_busy_one_does_not() {
    let server = simulator(Role::Both).await;
    let proxy = Proxy::with_short_idle(&always(), &[endpoint("e", server.addr, "both")]);
    let (mut busy, _driver) = h2(&proxy).await;
    server.pause_after(1);
    let stream = busy.send_request(over_h2(&streamed(chat(10, 5))));
    let stream = soon("a head", stream).await.unwrap().into_body();
    let idle = TcpStream::connect(proxy.address()).await.unwrap();
    let (_sender, connection) =
        http2::handshake::<_, _, Full<Bytes>>(TokioExecutor::new(), TokioIo::new(idle))
            .await
            .unwrap();
    soon("the close", connection).await.expect("an end by GOAWAY is no error");
    server.resume();
    let body = soon("a stream's end", stream.collect()).await.unwrap().to_bytes();
    assert!(body.ends_with(b"data: [DONE]\n\n"), "the busy connection goes on");
}

#[tokio::test]
async fn expect_continue_is_answered() {
    let server = simulator(Role::Both).await;
    let proxy = before(&server).await;
    let body = chat(5, 2).to_string();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    let answer = raw(proxy.address(), request.as_bytes()).await;
    assert!(answer.contains("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_client_that_does_not_read_holds_its_endpoint_back() {
    let backend = Backend::start(Script::Endless).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", backend.addr, "both")]);
    let mut slow = post(proxy.address(), CHAT, &streamed(chat(5, 2))).await;
    slow.piece().await.unwrap().unwrap();
    // It stalls: nothing more is taken for as long as a hundred looks take.
    let (mut last, mut still) = (0, 0);
    until("the endpoint's writes stall", async || {
        let written = backend.written();
        still = if written == last { still + 1 } else { 0 };
        last = written;
        still > 100
    })
    .await;
    // Three sockets' buffers on loopback, and what the router may keep.
    assert!(last < 32 << 20, "{last} bytes were taken for a client that reads nothing");
    let mut read = 0;
    while read < last {
        read += slow.piece().await.unwrap().unwrap().len() as u64;
    }
    until("it goes on with its reader", async || backend.written() > last).await;
    drop(slow);
    until("it ends with its reader", async || backend.open() == 0).await;
}
