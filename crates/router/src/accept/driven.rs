//! Drives one hyper connection, and carries out what its state orders.

use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use crate::accept::state::{ConnectionState, Order};

/// A connection that can be told to take no further request.
pub(crate) trait Graceful: Future<Output = hyper::Result<()>> {
    /// Lets requests in flight end, and takes no further one.
    fn close(self: Pin<&mut Self>);
}

/// Resolves when the connection has ended, or has been cut.
pub(crate) struct Driven<C> {
    connection: C,
    state: Rc<ConnectionState>,
    closing: bool,
}

impl<C> Driven<C> {
    pub(crate) const fn new(connection: C, state: Rc<ConnectionState>) -> Self {
        Self { connection, state, closing: false }
    }
}

impl<C: Graceful + Unpin> Future for Driven<C> {
    type Output = hyper::Result<()>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = &mut *self;
        let mut connection = Pin::new(&mut this.connection);
        // First, so that bytes which have already come are read before an order to close is looked at.
        let polled = connection.as_mut().poll(cx);
        if polled.is_ready() {
            return polled;
        }
        match this.state.order(cx) {
            Order::Cut => Poll::Ready(Ok(())),
            Order::Close if !this.closing => {
                this.closing = true;
                connection.as_mut().close();
                connection.poll(cx)
            }
            Order::Close | Order::Serve => Poll::Pending,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;
    use std::time::Duration;

    use tokio::time::advance;

    use super::*;
    use crate::accept::protocol::Protocol;
    use crate::accept::state::Limits;
    use crate::worker::drain::Lifecycle;

    const LIMITS: Limits = Limits { head: Duration::from_secs(10), idle: Duration::from_secs(75) };

    /// A connection that notes what is done with it, and answers each poll as it was told; then it is pending.
    #[derive(Default)]
    struct Fake {
        done: Vec<&'static str>,
        polls: VecDeque<Poll<()>>,
        /// Reads these bytes, so to speak, at the first poll.
        reads: Option<Rc<ConnectionState>>,
    }

    impl Future for Fake {
        type Output = hyper::Result<()>;

        fn poll(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Self::Output> {
            self.done.push("poll");
            if let Some(state) = self.reads.take() {
                state.received().store(true, std::sync::atomic::Ordering::Relaxed);
            }
            self.polls.pop_front().unwrap_or(Poll::Pending).map(Ok)
        }
    }

    impl Graceful for Fake {
        fn close(mut self: Pin<&mut Self>) {
            self.done.push("close");
        }
    }

    fn poll(driven: &mut Driven<Fake>) -> bool {
        let cx = &mut Context::from_waker(Waker::noop());
        matches!(Pin::new(driven).poll(cx), Poll::Ready(Ok(())))
    }

    /// A kept connection that was idle for its limit.
    async fn idle() -> Rc<ConnectionState> {
        let state = Rc::new(ConnectionState::opened());
        state.speaks(Protocol::Http1);
        drop(state.serving());
        advance(LIMITS.idle).await;
        state
    }

    #[tokio::test(start_paused = true)]
    async fn it_closes_once_and_drives_the_connection_to_its_end() {
        let state = idle().await;
        let mut driven = Driven::new(Fake::default(), Rc::clone(&state));
        assert!(!poll(&mut driven));
        state.look(LIMITS, Lifecycle::Serving, None);
        assert!(!poll(&mut driven) && !poll(&mut driven));
        driven.connection.polls.push_back(Poll::Ready(()));
        assert!(poll(&mut driven));
        let done = ["poll", "poll", "close", "poll", "poll", "poll"];
        assert_eq!(driven.connection.done, done);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_ends_by_closing_ends_at_once() {
        let state = idle().await;
        state.look(LIMITS, Lifecycle::Serving, None);
        let polls = VecDeque::from([Poll::Pending, Poll::Ready(())]);
        let mut driven = Driven::new(Fake { polls, ..Fake::default() }, state);
        assert!(poll(&mut driven));
        assert_eq!(driven.connection.done, ["poll", "close", "poll"]);
    }

    #[tokio::test(start_paused = true)]
    async fn bytes_that_are_there_are_read_before_an_order_to_close() {
        let state = idle().await;
        state.look(LIMITS, Lifecycle::Serving, None);
        let reads = Some(Rc::clone(&state));
        let mut driven = Driven::new(Fake { reads, ..Fake::default() }, state);
        assert!(!poll(&mut driven));
        assert_eq!(driven.connection.done, ["poll"], "it was not closed over a request");
    }

    #[tokio::test(start_paused = true)]
    async fn a_cut_ends_it_without_a_word_also_while_it_closes() {
        let state = idle().await;
        let mut driven = Driven::new(Fake::default(), Rc::clone(&state));
        state.look(LIMITS, Lifecycle::Serving, None);
        assert!(!poll(&mut driven));
        state.head_begun();
        state.look(LIMITS, Lifecycle::Closing, None);
        assert!(poll(&mut driven));
        assert_eq!(driven.connection.done, ["poll", "close", "poll", "poll"]);
    }
}
