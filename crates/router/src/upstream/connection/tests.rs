use tokio::net::{TcpListener, TcpSocket};

use super::*;
use crate::upstream::fake;

#[tokio::test]
async fn a_request_goes_out_in_origin_form_and_its_answer_comes_back() {
    let (mut connection, mut peer) = fake::connection().await;
    let answering = async {
        let line = peer.asked().await;
        peer.say("HTTP/1.1 418 I'm a teapot\r\nx-a: b\r\ncontent-length: 0\r\n\r\n").await;
        line
    };
    let (answer, line) = tokio::join!(connection.send(fake::get()), answering);
    let answer = answer.expect("an answer");
    assert_eq!(line, "GET / HTTP/1.1");
    assert_eq!((answer.status().as_u16(), &answer.headers()["x-a"]), (418, &"b".parse().unwrap()));
}

#[tokio::test]
async fn a_head_that_is_too_large_or_no_http_is_an_error() {
    let large = format!("HTTP/1.1 200 OK\r\nx: {}\r\n\r\n", "x".repeat(MAX_HEAD_BYTES));
    for said in [large.as_str(), "SSH-2.0-OpenSSH_9.9\r\n\r\n"] {
        let (mut connection, mut peer) = fake::connection().await;
        let answering = async {
            peer.asked().await;
            peer.say(said).await;
        };
        let (answer, ()) = tokio::join!(connection.send(fake::get()), answering);
        assert!(matches!(answer, Err(Unsent::Broken(_))), "{answer:?}");
        assert!(!connection.is_ready());
    }
}

#[tokio::test]
async fn a_connection_is_ready_once_its_answer_was_read() {
    let (mut connection, peer) = fake::used().await;
    assert!(connection.is_ready());
    drop(peer);
    connection.drive(&mut Context::from_waker(std::task::Waker::noop()));
    assert!(!connection.is_ready());
    // Nothing was sent, so the request may go elsewhere.
    assert!(matches!(connection.send(fake::get()).await, Err(Unsent::Retry(_))));
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_an_error_at_once() {
    let within = Duration::from_secs(60);
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let authority = listener.local_addr().expect("bound").to_string();
    assert!(Connection::open(&authority, within).await.is_ok());
    // A bound port that does not listen refuses, and nobody else can take it.
    let bound = TcpSocket::new_v4().expect("a socket");
    bound.bind("127.0.0.1:0".parse().expect("an address")).expect("a port");
    let deaf = bound.local_addr().expect("bound").to_string();
    for authority in [deaf.as_str(), "no port"] {
        let error = Connection::open(authority, within).await.err().expect("nobody listens");
        assert_eq!(error.kind(), "connect", "{error}");
    }
}
