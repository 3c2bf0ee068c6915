//! The end: what is in flight ends well, and nothing new is taken.

use std::time::Duration;

use qoe_sim::{Role, Server};
use qoe_tests::bodies::{CHAT, chat, streamed};
use qoe_tests::client::{get, post};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::wait::{soon, until};
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
    let ending = tokio::spawn(proxy.shut_down(LONG));
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
    soon("the end", proxy.shut_down(LONG)).await;
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    drop(idle);
}

#[tokio::test]
async fn at_the_deadline_it_ends_anyway() {
    let (server, proxy) = proxy().await;
    server.pause_after(3);
    let mut stream = post(proxy.address(), CHAT, &streamed(chat(40, 9))).await;
    stream.piece().await.unwrap().unwrap();
    soon("the end", proxy.shut_down(Duration::from_millis(50))).await;
    let rest = stream.bytes().await;
    assert!(rest.is_err(), "a cut stream must not look whole: {rest:?}");
    until("the engine is let go", async || {
        server.inspect(|engine| engine.running() + engine.waiting().0) == 0
    })
    .await;
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
    let ending = tokio::spawn(proxy.shut_down(LONG));
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
