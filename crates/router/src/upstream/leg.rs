//! The body of a request to an endpoint.

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

#[cfg(test)]
mod tests {
    use std::task::Waker;

    use super::*;

    #[test]
    fn a_body_is_its_segments_and_counts_down() {
        let mut leg = Leg::from(Segments::from(Bytes::from_static(b"body")));
        let cx = &mut Context::from_waker(Waker::noop());
        assert_eq!((leg.size_hint().exact(), leg.is_end_stream()), (Some(4), false));
        let Poll::Ready(Some(Ok(frame))) = Pin::new(&mut leg).poll_frame(cx) else {
            panic!("a segment is at hand");
        };
        assert_eq!(frame.into_data().expect("data"), "body");
        assert_eq!((leg.size_hint().exact(), leg.is_end_stream()), (Some(0), true));
        assert!(matches!(Pin::new(&mut leg).poll_frame(cx), Poll::Ready(None)));
    }

    #[test]
    fn an_empty_body_has_ended_before_it_begins() {
        let leg = Leg::from(Segments::from(Bytes::new()));
        assert_eq!((leg.size_hint().exact(), leg.is_end_stream()), (Some(0), true));
    }
}
