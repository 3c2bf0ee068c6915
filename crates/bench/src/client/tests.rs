use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

#[derive(Default)]
struct Collected {
    status: u16,
    plan: Option<String>,
    body: Vec<u8>,
}

impl Sink for Collected {
    fn head(&mut self, head: &Head<'_>) {
        self.status = head.status;
        self.plan = head.header("X-Qoe-Plan").map(str::to_owned);
    }
    fn data(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

fn decode(mut body: Body, pieces: &[&[u8]]) -> Result<(Vec<u8>, Body, usize), Malformed> {
    let mut out = Vec::new();
    let mut used = 0;
    for piece in pieces {
        used += body.decode(piece, &mut |bytes| out.extend_from_slice(bytes))?;
    }
    Ok((out, body, used))
}

#[test]
fn chunks_cut_at_every_byte_give_the_same_body() {
    let wire = b"5\r\nhello\r\nA;name=value\r\n, you all!\r\n0\r\nx-trailer: 1\r\n\r\n";
    for cut in 0..wire.len() {
        let (out, body, used) = decode(Body::chunked(), &[&wire[..cut], &wire[cut..]]).unwrap();
        assert_eq!(out, b"hello, you all!", "cut at {cut}");
        assert!(body.is_done());
        assert_eq!(used, wire.len());
    }
    let bytes: Vec<&[u8]> = wire.chunks(1).collect();
    assert_eq!(decode(Body::chunked(), &bytes).unwrap().0, b"hello, you all!");
}

#[test]
fn a_body_ends_where_it_says() {
    let (out, body, used) = decode(Body::length(4), &[b"ab", b"cdNEXT"]).unwrap();
    assert_eq!((out.as_slice(), used), (&b"abcd"[..], 4));
    assert!(body.is_done());
    let (_, unfinished, _) = decode(Body::chunked(), &[b"3\r\nabc\r\n"]).unwrap();
    assert!(!unfinished.is_done() && !unfinished.may_end());
    assert!(Body::until_close().may_end());
    assert!(Body::length(0).is_done());
}

#[test]
fn broken_framing_is_refused() {
    for wire in [&b"zz\r\n"[..], b"\r\n", b"2\r\nabc\r\n", b"ffffffffffffffff\r\n"] {
        assert!(decode(Body::chunked(), &[wire]).is_err(), "{wire:?}");
    }
}

/// Answers each request of one connection with the next script, then closes.
async fn server(scripts: Vec<Vec<Vec<u8>>>) -> SocketAddr {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            stream.set_nodelay(true).unwrap();
            for answer in script {
                let mut request = [0; 256];
                if stream.read(&mut request).await.unwrap() == 0 {
                    break;
                }
                for piece in answer.chunks(7) {
                    stream.write_all(piece).await.unwrap();
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    address
}

const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\n\r\n";

#[tokio::test]
async fn answers_follow_each_other_on_one_connection() {
    let first = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nx-qoe-plan: local\r\n\r\nhello".to_vec();
    let second =
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 404 No\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
            .to_vec();
    let mut client = Client::new(server(vec![vec![first, second]]).await);
    let mut one = Collected::default();
    client.send(REQUEST, &mut one).await.unwrap();
    assert_eq!(
        (one.status, one.plan.as_deref(), one.body),
        (200, Some("local"), b"hello".to_vec())
    );
    let mut two = Collected::default();
    client.send(REQUEST, &mut two).await.unwrap();
    assert_eq!((two.status, two.plan, two.body), (404, None, b"abc".to_vec()));
}

#[tokio::test]
async fn a_closed_kept_connection_is_replaced_once() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok".to_vec();
    let mut client = Client::new(server(vec![vec![answer.clone()], vec![answer]]).await);
    for _ in 0..2 {
        let mut sink = Collected::default();
        client.send(REQUEST, &mut sink).await.unwrap();
        assert_eq!(sink.body, b"ok");
    }
}

#[tokio::test]
async fn a_cut_answer_is_an_error() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nok".to_vec();
    let mut client = Client::new(server(vec![vec![answer]]).await);
    let error = client.send(REQUEST, &mut Collected::default()).await.unwrap_err();
    assert!(matches!(error, ClientError::Cut), "{error}");
}
