//! One answer that is being read, with the connection it comes on.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::{Bytes, BytesMut};
use http_body::{Body, SizeHint};
use hyper::body::Incoming;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::gate::Gate;

/// Ready chunks are merged up to this size before they go on.
const MERGE_BYTES: usize = 64 * 1024;

/// An answer's body and the connection that delivers it.
pub(crate) struct Exchange<S = TcpStream>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    connection: Connection<S>,
    body: Incoming,
    /// An error that came after chunks which had to go on first.
    failed: Option<hyper::Error>,
    ended: bool,
    gate: Arc<Gate>,
    waker: Waker,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Exchange<S> {
    /// Takes over the reading of `body`, which comes on `connection`.
    pub(crate) fn new(connection: Connection<S>, body: Incoming) -> Self {
        let ended = body.is_end_stream();
        let gate = Arc::<Gate>::default();
        let waker = Waker::from(Arc::clone(&gate));
        Self { connection, body, failed: None, ended, gate, waker }
    }

    /// Whether everything was read.
    pub(crate) const fn ended(&self) -> bool {
        self.ended
    }

    /// How much is still to come, as far as the answer says.
    pub(crate) fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }

    /// All that is ready, as one chunk; `None` at the end, and after an error.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        self.gate.shut(cx.waker());
        let polled = self.poll_ready_chunks();
        self.gate.open();
        polled
    }

    /// Reads and drives in turn, until there is enough or neither half has more.
    fn poll_ready_chunks(&mut self) -> Poll<Option<Result<Bytes, hyper::Error>>> {
        if let Some(error) = self.failed.take() {
            self.ended = true;
            return Poll::Ready(Some(Err(error)));
        }
        let cx = &mut Context::from_waker(&self.waker);
        let mut merged = Merged::default();
        let mut driven = false;
        while !self.ended && merged.len() < MERGE_BYTES {
            match Pin::new(&mut self.body).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => {
                    driven = false;
                    if let Ok(data) = frame.into_data() {
                        merged.push(data);
                    }
                    self.ended = self.body.is_end_stream();
                }
                Poll::Ready(Some(Err(error))) if merged.is_empty() => {
                    self.ended = true;
                    return Poll::Ready(Some(Err(error)));
                }
                Poll::Ready(Some(Err(error))) => {
                    self.failed = Some(error);
                    break;
                }
                Poll::Ready(None) => self.ended = true,
                // What was driven since the last look brought no data.
                Poll::Pending if driven => break,
                Poll::Pending => {
                    // Wakes until now came from data that was read, or announce what is driven next.
                    self.gate.forget();
                    self.connection.drive(cx);
                    driven = true;
                }
            }
        }
        match merged.take() {
            Some(chunk) => Poll::Ready(Some(Ok(chunk))),
            None if self.ended => Poll::Ready(None),
            None => Poll::Pending,
        }
    }

    /// The connection, if the answer was read to its end and another request could follow.
    pub(crate) fn into_idle(mut self) -> Option<Connection<S>> {
        if !self.ended {
            return None;
        }
        // The driver sees the end of the message, and opens for the next one, when it is polled once more.
        self.connection.drive(&mut Context::from_waker(Waker::noop()));
        self.connection.is_ready().then_some(self.connection)
    }
}

/// Chunks merged into one; a single one passes uncopied.
#[derive(Default)]
struct Merged {
    first: Option<Bytes>,
    rest: BytesMut,
}

impl Merged {
    fn push(&mut self, data: Bytes) {
        if data.is_empty() {
            return;
        }
        if self.rest.is_empty() {
            let Some(first) = self.first.take() else {
                self.first = Some(data);
                return;
            };
            // Where two chunks were ready, more often are; a token is some 200 bytes.
            self.rest.reserve((first.len() + data.len()) * 4);
            self.rest.extend_from_slice(&first);
        }
        self.rest.extend_from_slice(&data);
    }

    fn len(&self) -> usize {
        self.first.as_ref().map_or(0, Bytes::len) + self.rest.len()
    }

    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn take(self) -> Option<Bytes> {
        self.first.or_else(|| (!self.rest.is_empty()).then(|| self.rest.freeze()))
    }
}

/// Reads an answer's whole body, up to `limit` bytes.
pub(crate) async fn read_all<S: AsyncRead + AsyncWrite + Unpin>(
    mut exchange: Exchange<S>,
    limit: usize,
) -> Result<(Bytes, Exchange<S>), UpstreamError> {
    let mut body: Vec<Bytes> = Vec::new();
    let mut size = 0;
    while let Some(chunk) = poll_fn(|cx| exchange.poll_chunk(cx)).await {
        let chunk = chunk.map_err(UpstreamError::Broken)?;
        size += chunk.len();
        if size > limit {
            return Err(UpstreamError::TooLarge(limit));
        }
        body.push(chunk);
    }
    let body = match body.len() {
        1 => body.swap_remove(0),
        _ => body.concat().into(),
    };
    Ok((body, exchange))
}

#[cfg(test)]
mod tests;
