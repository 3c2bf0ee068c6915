//! The body of a reply to a client.

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::answer::broken::RelayError;
use crate::answer::relay::Relay;

/// The body of a reply.
pub(crate) enum Reply {
    /// A body that is at hand; taken once.
    Full(Option<Bytes>),
    /// A body that comes from an endpoint.
    Relay(Box<Relay>),
}

impl Reply {
    /// A body that is at hand.
    pub(crate) fn full(body: Bytes) -> Self {
        Self::Full((!body.is_empty()).then_some(body))
    }

    /// The next bytes of a reply that has to end now because the drain's deadline has passed.
    pub(crate) fn cut(&mut self) -> Option<Result<Bytes, RelayError>> {
        match self {
            Self::Full(body) => body.take().map(Ok),
            Self::Relay(relay) => relay.cut(),
        }
    }

    /// No body.
    pub(crate) const fn empty() -> Self {
        Self::Full(None)
    }
}

impl Body for Reply {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        match &mut *self {
            Self::Full(body) => Poll::Ready(body.take().map(|body| Ok(Frame::data(body)))),
            Self::Relay(relay) => {
                relay.poll_chunk(cx).map(|chunk| chunk.map(|c| c.map(Frame::data)))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_none(),
            Self::Relay(relay) => relay.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => {
                SizeHint::with_exact(body.as_ref().map_or(0, |body| body.len() as u64))
            }
            Self::Relay(relay) => relay.size_hint(),
        }
    }
}
