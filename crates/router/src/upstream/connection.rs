//! One HTTP/1.1 connection to an endpoint, driven by the worker that uses it.
//!
//! hyper's client normally runs each connection as a task of its own and hands every chunk to its reader through a
//! channel: two task switches a chunk. Here the reader owns both halves and polls the connection itself, so a chunk
//! costs none, and all chunks that are ready go on as one.

use std::future::poll_fn;
use std::pin::Pin;
use std::task::Context;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::spawn_local;

use crate::upstream::error::{Unsent, UpstreamError};
use crate::upstream::leg::Leg;

/// Largest head an endpoint may answer with.
const MAX_HEAD_BYTES: usize = 64 * 1024;
/// A connection buffers no more than this of an answer that its reader does not take.
const MAX_BUFFER_BYTES: usize = 256 * 1024;

/// The half that moves a connection's bytes, as a future that its owner polls.
type ConnectionTask<S> = http1::Connection<TokioIo<S>, Leg>;

/// One HTTP/1.1 connection over the byte stream `S`: both the half that sends requests and the half that does IO.
pub(crate) struct Connection<S = TcpStream>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    sender: SendRequest<Leg>,
    /// `None` once the connection has ended. Dropping it then fails the body that is still being read.
    driver: Option<ConnectionTask<S>>,
    /// It has served a request before, so its peer may have closed it in the meantime.
    reused: bool,
}

impl Connection {
    /// Opens a connection to `authority` (`host:port`).
    pub(crate) async fn open(authority: &str, within: Duration) -> Result<Self, UpstreamError> {
        Self::over(connect(authority, within).await?).await
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Connection<S> {
    /// Speaks HTTP/1.1 over a byte stream that is already open.
    pub(super) async fn over(stream: S) -> Result<Self, UpstreamError> {
        let (sender, driver) = handshake(stream).await?;
        Ok(Self { sender, driver: Some(driver), reused: false })
    }

    /// Moves bytes between the byte stream and whoever holds the request's or the answer's body.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        if let Some(driver) = &mut self.driver
            && Pin::new(driver).poll(cx).is_ready()
        {
            self.driver = None;
        }
    }

    /// Whether it could take another request now.
    pub(super) fn is_ready(&self) -> bool {
        self.driver.is_some() && self.sender.is_ready()
    }

    /// Sends a request and waits for the head of its answer.
    ///
    /// # Errors
    /// The connection broke. [`Unsent::Retry`]: before a byte of the request was sent, or, on a connection that had
    /// been idle, before the head of the answer had come, as when its peer closed it at that very moment.
    pub(crate) async fn send(
        &mut self,
        request: Request<Leg>,
    ) -> Result<Response<Incoming>, Unsent> {
        let answer = self.sender.try_send_request(request);
        let mut answer = std::pin::pin!(answer);
        let answer = poll_fn(|cx| {
            self.drive(cx);
            answer.as_mut().poll(cx)
        })
        .await;
        let reused = std::mem::replace(&mut self.reused, true);
        answer.map_err(|failed| {
            let unsent = failed.message().is_some();
            let error = failed.into_error();
            match unsent || (reused && error.is_incomplete_message()) {
                true => Unsent::Retry(error),
                false => Unsent::Broken(error),
            }
        })
    }
}

/// Asks `authority` to change the protocol, on a connection of its own that a task drives.
pub(crate) async fn upgradable(
    authority: &str,
    request: Request<Leg>,
    within: Duration,
) -> Result<Response<Incoming>, UpstreamError> {
    let (mut sender, driver) = handshake(connect(authority, within).await?).await?;
    // It ends when the changed protocol's stream is taken over, or with the connection.
    spawn_local(async move { drop(driver.with_upgrades().await) });
    sender.send_request(request).await.map_err(UpstreamError::Broken)
}

async fn connect(authority: &str, within: Duration) -> Result<TcpStream, UpstreamError> {
    let stream = tokio::time::timeout(within, TcpStream::connect(authority))
        .await
        .map_err(|_| UpstreamError::ConnectTimeout(within))?
        .map_err(UpstreamError::Connect)?;
    stream.set_nodelay(true).map_err(UpstreamError::Connect)?;
    Ok(stream)
}

async fn handshake<S: AsyncRead + AsyncWrite + Unpin>(
    stream: S,
) -> Result<(SendRequest<Leg>, ConnectionTask<S>), UpstreamError> {
    http1::Builder::new()
        .max_buf_size(MAX_BUFFER_BYTES)
        .max_header_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .map_err(UpstreamError::Broken)
}

#[cfg(test)]
mod tests;
