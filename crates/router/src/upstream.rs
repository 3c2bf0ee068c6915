//! Connections to endpoints: opened, driven and pooled by the worker that uses them.
//!
//! hyper's client normally runs each connection as a task of its own and hands every chunk to its reader through a
//! channel: two task switches a chunk. Here the reader owns both halves and polls the connection itself, so a chunk
//! costs none, and all chunks that are ready go on as one.

mod exchange;
mod pool;

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::Poll;
use std::time::Duration;

use http::{Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::spawn_local;

pub(crate) use self::exchange::Exchange;
pub(crate) use self::pool::Pool;
use crate::body::Leg;

/// Largest head an endpoint may answer with.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A connection buffers no more than this of an answer that its reader does not take.
const MAX_BUFFER_BYTES: usize = 256 * 1024;

/// Why an endpoint did not answer.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    /// No connection could be opened.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// No connection within the time allowed.
    #[error("no connection within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    /// The connection broke before the answer was complete.
    #[error("the connection broke: {0}")]
    Broken(#[source] hyper::Error),
    /// Nothing came within the time allowed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The stream ended before its end was said.
    #[error("the stream ended early")]
    EndedEarly,
    /// The stream told of an error before its first token.
    #[error("the stream began with an error")]
    ErrorEvent,
    /// The answer is larger than this leg's answers may be.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// One HTTP/1.1 connection, both halves.
pub(crate) struct Connection {
    sender: SendRequest<Leg>,
    driver: http1::Connection<TokioIo<TcpStream>, Leg>,
    /// The driver has finished: the connection is closed.
    closed: bool,
    /// It has served a request before, so its peer may have closed it in the meantime.
    reused: bool,
}

impl Connection {
    /// Opens a connection to `authority` (`host:port`).
    pub(crate) async fn open(authority: &str, within: Duration) -> Result<Self, UpstreamError> {
        let (sender, driver) = handshake(authority, within).await?;
        Ok(Self { sender, driver, closed: false, reused: false })
    }

    /// Whether it has served a request before.
    pub(crate) const fn reused(&self) -> bool {
        self.reused
    }

    /// Moves bytes between the socket and whoever holds the other halves.
    fn drive(&mut self, cx: &mut std::task::Context<'_>) {
        if !self.closed && Pin::new(&mut self.driver).poll(cx).is_ready() {
            self.closed = true;
        }
    }

    /// Whether it could take another request now.
    fn is_ready(&self) -> bool {
        !self.closed && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    pub(crate) async fn send(
        &mut self,
        request: Request<Leg>,
    ) -> Result<Response<Incoming>, hyper::Error> {
        let answer = self.sender.try_send_request(request);
        let mut answer = std::pin::pin!(answer);
        let answer = poll_fn(|cx| {
            self.drive(cx);
            match answer.as_mut().poll(cx) {
                // A driver that ended has answered, if only with an error: it is there at the next poll.
                Poll::Pending if self.closed => answer.as_mut().poll(cx),
                polled => polled,
            }
        })
        .await;
        self.reused = true;
        answer.map_err(hyper::client::conn::TrySendError::into_error)
    }
}

/// Asks `authority` to change the protocol, on a connection of its own that a task drives.
pub(crate) async fn upgradable(
    authority: &str,
    request: Request<Leg>,
    within: Duration,
) -> Result<Response<Incoming>, UpstreamError> {
    let (mut sender, driver) = handshake(authority, within).await?;
    // It ends when the changed protocol's stream is taken over, or with the connection.
    spawn_local(async move { drop(driver.with_upgrades().await) });
    sender.send_request(request).await.map_err(UpstreamError::Broken)
}

type Halves = (SendRequest<Leg>, http1::Connection<TokioIo<TcpStream>, Leg>);

async fn handshake(authority: &str, within: Duration) -> Result<Halves, UpstreamError> {
    let stream = tokio::time::timeout(within, TcpStream::connect(authority))
        .await
        .map_err(|_| UpstreamError::ConnectTimeout(within))?
        .map_err(UpstreamError::Connect)?;
    stream.set_nodelay(true).map_err(UpstreamError::Connect)?;
    http1::Builder::new()
        .max_buf_size(MAX_BUFFER_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(UpstreamError::Broken)
}

/// Reads an answer's whole body, up to `limit` bytes.
pub(crate) async fn read_all(
    mut exchange: Exchange,
    limit: usize,
    within: Duration,
) -> Result<(bytes::Bytes, Exchange), UpstreamError> {
    let reading = async {
        let mut body: Vec<bytes::Bytes> = Vec::new();
        let mut size = 0;
        while let Some(chunk) = poll_fn(|cx| exchange.poll_chunk(cx)).await {
            let chunk = chunk.map_err(UpstreamError::Broken)?;
            size += chunk.len();
            if size > limit {
                return Err(UpstreamError::TooLarge(limit));
            }
            body.push(chunk);
        }
        Ok(match body.len() {
            1 => body.swap_remove(0),
            _ => body.concat().into(),
        })
    };
    let body = tokio::time::timeout(within, reading)
        .await
        .map_err(|_| UpstreamError::Timeout(within))??;
    Ok((body, exchange))
}

/// Collects a request's body, up to `limit` bytes; `None` if it is larger.
pub(crate) async fn collect(
    mut body: Incoming,
    limit: usize,
) -> Result<Option<bytes::Bytes>, hyper::Error> {
    let mut first: Option<bytes::Bytes> = None;
    let mut all = bytes::BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if all.len() + first.as_ref().map_or(0, bytes::Bytes::len) + data.len() > limit {
            return Ok(None);
        }
        match first.take() {
            None if all.is_empty() => first = Some(data),
            Some(head) => {
                let expected = http_body::Body::size_hint(&body).lower();
                let more = usize::try_from(expected).unwrap_or(limit).min(limit);
                all.reserve(head.len() + data.len() + more);
                all.extend_from_slice(&head);
                all.extend_from_slice(&data);
            }
            None => all.extend_from_slice(&data),
        }
    }
    Ok(Some(first.unwrap_or_else(|| all.freeze())))
}
