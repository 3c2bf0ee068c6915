//! The body of a leg.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use qoe_core::request::splice::Segments;

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
