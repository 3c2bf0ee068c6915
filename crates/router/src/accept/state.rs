//! What one client connection does, and whether it has waited for its client for too long.
//!
//! A connection costs no timer of its own: the worker looks at all of its connections once a second, and tells those
//! that have to end. The connection notes only the beginnings and ends of its requests, and that bytes came.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::time::Instant;

use crate::accept::protocol::Protocol;
use crate::worker::drain::Lifecycle;

/// During a drain, an HTTP/1 connection is closed when it has been idle for this long. Its last answer may have begun
/// before the drain, without `connection: close`, or its first request may be on its way: a client whose request comes
/// within this time still gets an answer. At half, a client on another continent is cut off (a round trip takes up to 0.3 s); at double, each drain
/// takes a second longer.
const LINGER: Duration = Duration::from_secs(1);

/// How long a connection may wait for its client.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits {
    /// From the first byte of a request's head, or of the HTTP/2 preface, to its end.
    pub(crate) head: Duration,
    /// Without a request: from the opening of the connection, or from the end of the last answer, to the next byte.
    pub(crate) idle: Duration,
}

/// What a connection has to do next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Order {
    /// Go on.
    #[default]
    Serve,
    /// Take no further request: HTTP/1 closes after the current answer, HTTP/2 sends GOAWAY.
    Close,
    /// End at once.
    Cut,
}

#[derive(Clone, Copy, Debug)]
enum Stage {
    /// No request, since then.
    Idle(Instant),
    /// The head of a request is coming in, since then.
    Head(Instant),
    /// This many requests are being served.
    Serving(u32),
}

/// The state of one client connection.
#[derive(Debug)]
pub(crate) struct ConnectionState {
    stage: Cell<Stage>,
    /// `None` until the first bytes have told it.
    protocol: Cell<Option<Protocol>>,
    /// Set by the reading side of the connection, which hyper wants to be `Send`; cleared here.
    received: Arc<AtomicBool>,
    order: Cell<Order>,
    task: RefCell<Option<Waker>>,
}

impl ConnectionState {
    /// The state of a connection that was opened now.
    pub(crate) fn opened() -> Self {
        Self {
            stage: Cell::new(Stage::Idle(Instant::now())),
            protocol: Cell::default(),
            received: Arc::default(),
            order: Cell::default(),
            task: RefCell::default(),
        }
    }

    /// The flag that the reading side sets when bytes came.
    pub(crate) fn received(&self) -> Arc<AtomicBool> {
        Arc::clone(&self.received)
    }

    /// The first bytes have come, but do not tell the protocol yet.
    pub(crate) fn head_begun(&self) {
        if matches!(self.stage.get(), Stage::Idle(_)) {
            self.stage.set(Stage::Head(Instant::now()));
        }
    }

    /// The first bytes have told the protocol. hyper has not read any of them.
    pub(crate) fn speaks(&self, protocol: Protocol) {
        self.protocol.set(Some(protocol));
        match protocol {
            Protocol::Http1 => self.head_begun(),
            Protocol::Http2 => self.stage.set(Stage::Idle(Instant::now())),
        }
    }

    /// A request's head is complete; the request is served until the guard is dropped.
    pub(crate) fn serving(self: &Rc<Self>) -> Serving {
        let others = if let Stage::Serving(others) = self.stage.get() { others } else { 0 };
        self.stage.set(Stage::Serving(others + 1));
        self.received.store(false, Ordering::Relaxed);
        Serving(Rc::clone(self))
    }

    fn served(&self) {
        self.received.store(false, Ordering::Relaxed);
        self.stage.set(match self.stage.get() {
            Stage::Serving(requests) if requests > 1 => Stage::Serving(requests - 1),
            _ => Stage::Idle(Instant::now()),
        });
    }

    /// Looks at the connection, and wakes its task if it has to do something else than before. `draining_since`: the
    /// beginning of the drain, once there is one.
    pub(crate) fn look(
        &self,
        limits: Limits,
        lifecycle: Lifecycle,
        draining_since: Option<Instant>,
    ) {
        let order = self.judged(limits, lifecycle, draining_since);
        if order != self.order.get() {
            self.order.set(order);
            if let Some(task) = self.task.borrow_mut().take() {
                task.wake();
            }
        }
    }

    fn judged(
        &self,
        limits: Limits,
        lifecycle: Lifecycle,
        draining_since: Option<Instant>,
    ) -> Order {
        let http2 = self.protocol.get() == Some(Protocol::Http2);
        // HTTP/2 has frames of its own beside requests, such as answers to pings: they do not make it busy.
        if let Stage::Idle(_) = self.stage.get()
            && self.received.swap(false, Ordering::Relaxed)
            && !http2
        {
            self.stage.set(Stage::Head(Instant::now()));
        }
        let unspoken = self.protocol.get().is_none();
        let end = if unspoken { Order::Cut } else { Order::Close };
        match (self.stage.get(), lifecycle) {
            (Stage::Serving(_), Lifecycle::Closing) => Order::Close,
            (Stage::Serving(_), Lifecycle::Draining) if http2 => Order::Close,
            (Stage::Serving(_), _) => Order::Serve,
            (Stage::Head(_), Lifecycle::Closing) => Order::Cut,
            (Stage::Head(since), _) if since.elapsed() >= limits.head => Order::Cut,
            (Stage::Head(_), _) => Order::Serve,
            (Stage::Idle(_), Lifecycle::Draining) if http2 => Order::Close,
            // Not cut if it has spoken: its last answer may not have been written out yet.
            (Stage::Idle(_), Lifecycle::Closing) => end,
            (Stage::Idle(since), Lifecycle::Draining) => {
                let since = draining_since.map_or(since, |began| began.max(since));
                if since.elapsed() < LINGER { Order::Serve } else { end }
            }
            (Stage::Idle(since), Lifecycle::Serving) if since.elapsed() < limits.idle => {
                Order::Serve
            }
            (Stage::Idle(_), Lifecycle::Serving) => end,
        }
    }

    /// What the connection has to do now; its task is woken when that changes.
    pub(crate) fn order(&self, cx: &Context<'_>) -> Order {
        let mut task = self.task.borrow_mut();
        if !task.as_ref().is_some_and(|task| task.will_wake(cx.waker())) {
            *task = Some(cx.waker().clone());
        }
        // Bytes that came since the order was given are a request: it is served, and its answer says `close`.
        let idle = matches!(self.stage.get(), Stage::Idle(_));
        let overtaken = idle
            && self.protocol.get() == Some(Protocol::Http1)
            && self.received.load(Ordering::Relaxed);
        match self.order.get() {
            Order::Close if overtaken => Order::Serve,
            order => order,
        }
    }
}

/// A request that is being served, from the end of its head to the end of its answer.
#[derive(Debug)]
pub(crate) struct Serving(Rc<ConnectionState>);

impl Drop for Serving {
    fn drop(&mut self) {
        self.0.served();
    }
}

#[cfg(test)]
mod tests;
