//! The body of an answer on its way out of a connection.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

use crate::accept::state::Serving;
use crate::answer::broken::RelayError;
use crate::answer::reply::Reply;
use crate::worker::drain::{Drain, Lifecycle, Reached};

/// A reply that keeps its connection busy until its end, and that is cut short by the end of the drain.
pub(crate) struct Served {
    reply: Reply,
    deadline: Reached,
    _serving: Serving,
}

impl Served {
    pub(crate) fn new(reply: Reply, drain: &Rc<Drain>, serving: Serving) -> Self {
        Self { reply, deadline: drain.reached(Lifecycle::Closing), _serving: serving }
    }
}

impl Body for Served {
    type Data = Bytes;
    type Error = RelayError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RelayError>>> {
        let this = &mut *self;
        if Pin::new(&mut this.deadline).poll(cx).is_ready() {
            return Poll::Ready(this.reply.cut().map(|last| last.map(Frame::data)));
        }
        Pin::new(&mut this.reply).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.reply.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.reply.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::task::Waker;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::accept::protocol::Protocol;
    use crate::accept::state::{ConnectionState, Limits, Order};

    const LIMITS: Limits = Limits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    fn poll(served: &mut Served) -> Poll<Option<Bytes>> {
        let cx = &mut Context::from_waker(Waker::noop());
        let data = |frame: Result<Frame<Bytes>, RelayError>| {
            frame.expect("no break").into_data().expect("data")
        };
        Pin::new(served).poll_frame(cx).map(|frame| frame.map(data))
    }

    #[tokio::test(start_paused = true)]
    async fn its_connection_is_busy_until_it_is_dropped_and_not_only_until_its_last_byte() {
        let state = Rc::new(ConnectionState::opened());
        state.speaks(Protocol::Http1);
        let order = || {
            state.look(LIMITS, Lifecycle::Serving, None);
            state.order(&Context::from_waker(Waker::noop()))
        };
        let reply = Reply::full(Bytes::from_static(b"ok"));
        let mut served = Served::new(reply, &Rc::default(), state.serving());
        assert_eq!(poll(&mut served), Poll::Ready(Some(Bytes::from_static(b"ok"))));
        assert_eq!(poll(&mut served), Poll::Ready(None));
        advance(LIMITS.idle * 2).await;
        assert_eq!(order(), Order::Serve);
        drop(served);
        advance(LIMITS.idle).await;
        assert_eq!(order(), Order::Close);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_that_is_at_hand_is_given_out_after_the_deadline_too() {
        let drain = Rc::<Drain>::default();
        let state = Rc::new(ConnectionState::opened());
        let reply = Reply::full(Bytes::from_static(b"ok"));
        let mut served = Served::new(reply, &drain, state.serving());
        drain.enter(Lifecycle::Closing);
        assert_eq!(poll(&mut served), Poll::Ready(Some(Bytes::from_static(b"ok"))));
        assert_eq!(poll(&mut served), Poll::Ready(None));
    }
}
