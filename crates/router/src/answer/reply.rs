//! The two kinds of bodies that the router sends: a leg's to an endpoint, and a reply's to a client.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use qoe_core::request::splice::Segments;

use crate::answer::relay::{Relay, RelayError};

/// The body of a leg: slices of the client's body and what was put between them, written as they are.
#[derive(Debug)]
pub(crate) struct Leg {
    segments: Segments,
    left: u64,
}

impl From<Segments> for Leg {
    fn from(segments: Segments) -> Self {
        let left = segments.len_bytes() as u64;
        Self { segments, left }
    }
}

impl Body for Leg {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(self.segments.next().map(|segment| {
            self.left -= segment.len() as u64;
            Ok(Frame::data(segment))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

/// The body of a reply.
pub(crate) enum Reply {
    /// At hand; taken once.
    Full(Option<Bytes>),
    /// Coming from an endpoint.
    Relay(Box<Relay>),
}

impl Reply {
    /// A reply that is at hand.
    pub(crate) fn full(body: Bytes) -> Self {
        Self::Full((!body.is_empty()).then_some(body))
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
