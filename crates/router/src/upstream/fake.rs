//! A connection whose other end is the test: a pipe in memory under hyper's client, so that a test decides which bytes
//! come, in which pieces, and when.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Wake, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::HOST;
use http::{HeaderValue, Request};
use qoe_core::request::splice::Segments;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

use crate::upstream::connection::Connection;
use crate::upstream::exchange::Exchange;
use crate::upstream::leg::Leg;

/// More than any test sends at once, so that a peer never waits to be read.
const PIPE_BYTES: usize = 1 << 20;

/// Head of an answer of events that ends with its connection.
pub(crate) const EVENTS_UNTIL_CLOSE: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
/// Head of an answer in chunks.
pub(crate) const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// The endpoint's end of a connection; dropped, the endpoint has closed it.
pub(crate) struct Peer(DuplexStream);

impl Peer {
    /// Sends these bytes.
    pub(crate) async fn say(&mut self, bytes: impl AsRef<[u8]>) {
        self.0.write_all(bytes.as_ref()).await.expect("the other end reads");
    }

    /// Sends these bytes as one chunk of a chunked answer.
    pub(crate) async fn say_chunk(&mut self, bytes: &str) {
        self.say(chunk(bytes)).await;
    }

    /// Sends an end of file, as a socket that is closed does.
    pub(crate) async fn close(&mut self) {
        self.0.shutdown().await.expect("an open pipe");
    }

    /// Reads the head of a request, and returns its first line.
    pub(crate) async fn asked(&mut self) -> String {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(soon(self.0.read_u8()).await.expect("a whole head"));
        }
        let head = String::from_utf8(head).expect("ASCII");
        head.lines().next().expect("a request line").to_owned()
    }

    /// Whether the router has closed the connection.
    pub(crate) async fn is_closed(&mut self) -> bool {
        matches!(soon(self.0.read(&mut [0; 1])).await, Ok(0) | Err(_))
    }
}

/// The output of a future that is about to be ready: a test that fails does not hang. Paused clocks skip the wait.
async fn soon<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(10), future).await.expect("the router does this soon")
}

/// These bytes, framed as one chunk.
pub(crate) fn chunk(bytes: &str) -> String {
    format!("{:x}\r\n{bytes}\r\n", bytes.len())
}

/// A connection that was just opened, and its peer.
pub(crate) async fn connection() -> (Connection<DuplexStream>, Peer) {
    let (ours, theirs) = duplex(PIPE_BYTES);
    (Connection::over(ours).await.expect("a handshake says nothing yet"), Peer(theirs))
}

/// A request without a body.
pub(crate) fn get() -> Request<Leg> {
    let mut request = Request::new(Leg::from(Segments::from(Bytes::new())));
    request.headers_mut().insert(HOST, HeaderValue::from_static("fake"));
    request
}

/// An answer that has come as far as `said`, which holds at least the head, with its endpoint.
pub(crate) async fn exchange(said: &str) -> (Exchange<DuplexStream>, Peer) {
    let (mut connection, mut peer) = connection().await;
    let answering = async {
        peer.asked().await;
        peer.say(said).await;
    };
    let (answer, ()) = tokio::join!(connection.send(get()), answering);
    // Tests poll by hand: with a fresh budget, tokio's pipe is pending only when nothing has come.
    tokio::task::yield_now().await;
    let body = answer.expect("a whole head").into_body();
    (Exchange::new(connection, body), peer)
}

/// An idle connection that has served one request, with its endpoint.
pub(crate) async fn used() -> (Connection<DuplexStream>, Peer) {
    let (exchange, peer) = exchange("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
    (exchange.into_idle().expect("it may serve another"), peer)
}

/// Counts how often a task was woken.
#[derive(Default)]
pub(crate) struct Wakes(AtomicUsize);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Wakes {
    /// A counter and the waker that it counts.
    pub(crate) fn counted() -> (Arc<Self>, Waker) {
        let wakes = Arc::<Self>::default();
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    /// Wakes since the last call.
    pub(crate) fn take(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}
