//! WebSocket upgrades, end to end.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

use qoe_tests::backend::{Backend, Nowhere, Script, answer_of};
use qoe_tests::proxy::{Proxy, always, endpoint};
use qoe_tests::wait::{soon, until};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

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
