//! A small HTTP/1.1 client: one connection a request, so that dropping an answer is leaving.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use crate::wait::soon;

/// A request with its body at hand.
pub type Asked = Request<Full<Bytes>>;

/// An answer that has begun; dropped, the client has left.
#[derive(Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// Its headers.
    pub headers: HeaderMap,
    body: Incoming,
    connection: Connection,
}

#[derive(Debug)]
struct Connection(JoinHandle<()>);

impl Drop for Connection {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Answer {
    /// The rest of the body.
    ///
    /// # Errors
    /// The connection broke before its end.
    pub async fn bytes(mut self) -> Result<Bytes, hyper::Error> {
        let body = soon("an answer's end", (&mut self.body).collect()).await;
        drop(self.connection);
        Ok(body?.to_bytes())
    }

    /// The whole body.
    ///
    /// # Panics
    /// It broke off.
    pub async fn whole(self) -> Bytes {
        self.bytes().await.expect("an answer that comes whole")
    }

    /// The body as JSON.
    ///
    /// # Panics
    /// It broke off, or is no JSON.
    pub async fn json(self) -> Value {
        let body = self.whole().await;
        serde_json::from_slice(&body).unwrap_or_else(|_| panic!("not JSON: {body:?}"))
    }

    /// The next piece of the body; `None` at its end.
    pub async fn piece(&mut self) -> Option<Result<Bytes, hyper::Error>> {
        let frame = soon("a piece of an answer", self.body.frame()).await?;
        Some(frame.map(|frame| frame.into_data().unwrap_or_default()))
    }

    /// A header as text; empty if it is not there.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// A request.
///
/// # Panics
/// `path` is none.
#[must_use]
pub fn ask(method: Method, path: &str, body: impl Into<Bytes>) -> Asked {
    let request = Request::builder().method(method).uri(path).header("host", "router");
    request.body(Full::new(body.into())).expect("a path")
}

/// The request with one more header.
///
/// # Panics
/// It is no header.
#[must_use]
pub fn with_header(mut request: Asked, name: &'static str, value: &str) -> Asked {
    let value = HeaderValue::from_str(value).expect("a header value");
    request.headers_mut().append(HeaderName::from_static(name), value);
    request
}

/// A POST of JSON that asks for the plan.
#[must_use]
pub fn explained(path: &str, body: &Value) -> Asked {
    let request = ask(Method::POST, path, body.to_string());
    with_header(with_header(request, "content-type", "application/json"), "x-qoe-explain", "1")
}

/// Sends a request and waits for the head of its answer.
///
/// # Errors
/// There was none.
pub async fn try_send(address: SocketAddr, request: Asked) -> Result<Answer, hyper::Error> {
    let stream = TcpStream::connect(address).await.expect("somebody listens");
    stream.set_nodelay(true).expect("a socket");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let connection = Connection(tokio::spawn(async move { drop(connection.await) }));
    let answer = soon("the head of an answer", sender.send_request(request)).await?;
    let (head, body) = answer.into_parts();
    Ok(Answer { status: head.status, headers: head.headers, body, connection })
}

/// Sends a request and waits for the head of its answer.
///
/// # Panics
/// There was none.
pub async fn send(address: SocketAddr, request: Asked) -> Answer {
    try_send(address, request).await.expect("an answer")
}

/// POSTs JSON, asking for the plan.
pub async fn post(address: SocketAddr, path: &str, body: &Value) -> Answer {
    send(address, explained(path, body)).await
}

/// GETs.
pub async fn get(address: SocketAddr, path: &str) -> Answer {
    send(address, ask(Method::GET, path, "")).await
}

/// A connection that says nothing for so long is waiting for more of the request.
const QUIET: Duration = Duration::from_millis(200);

/// Writes bytes as they are, and returns what comes until the other side closes.
///
/// # Panics
/// Nobody listens, or the other side does not close.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    // It may be closed before all was written: what it said is still to be read.
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    drop(soon("the end of a raw exchange", stream.read_to_end(&mut answer)).await);
    String::from_utf8_lossy(&answer).into_owned()
}

/// The same with bytes that may be less than a request: once the other side is quiet, there are no more.
///
/// # Panics
/// As [`raw`].
pub async fn raw_and_no_more(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.expect("somebody listens");
    drop(stream.write_all(bytes).await);
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    loop {
        match timeout(QUIET, stream.read(&mut buffer)).await {
            Ok(Ok(read @ 1..)) => answer.extend_from_slice(&buffer[..read]),
            Ok(_) => break,
            Err(_) => drop(stream.shutdown().await),
        }
    }
    String::from_utf8_lossy(&answer).into_owned()
}
