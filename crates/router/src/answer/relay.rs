//! The way of an answer from an endpoint to a client: bytes pass as they come, and what they say is noted.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::SizeHint;
use qoe_core::endpoint::state::EndpointState;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep};

use crate::answer::broken::RelayError;
use crate::answer::event_stream::before_abort;
use crate::answer::tap::Tap;
use crate::ticket::Ticket;
use crate::upstream::exchange::Exchange;
use crate::upstream::pool::Pool;

/// The body of an answer on its way. It settles the request's ticket at its end, or when the client drops it.
pub(crate) struct Relay<S = TcpStream>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    /// `None` once nothing more comes from the endpoint.
    exchange: Option<Exchange<S>>,
    /// What goes to the client next, before anything more is read.
    ready: Option<Result<Bytes, RelayError>>,
    tap: Tap,
    ticket: Ticket,
    endpoint: Arc<EndpointState>,
    pool: Rc<Pool<S>>,
    /// How long the endpoint may send nothing.
    idle: Duration,
    heard: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Relay<S> {
    /// Relays the answer that `exchange` reads, from the bytes in `first` on, which were read already. The connection
    /// goes back to `pool` afterwards.
    pub(crate) fn new(
        exchange: Exchange<S>,
        first: Option<Bytes>,
        tap: Tap,
        ticket: Ticket,
        endpoint: Arc<EndpointState>,
        pool: Rc<Pool<S>>,
    ) -> Self {
        let idle = ticket.route().timeouts.idle;
        let mut relay = Self {
            exchange: Some(exchange),
            ready: None,
            tap,
            ticket,
            endpoint,
            pool,
            idle,
            heard: Instant::now(),
            alarm: Box::pin(sleep(idle)),
        };
        if let Some(first) = first {
            relay.receive(first);
        }
        relay.end_if_ended();
        relay
    }

    /// Whether nothing more goes to the client.
    pub(crate) fn is_end_stream(&self) -> bool {
        self.exchange.is_none() && self.ready.is_none()
    }

    /// How many bytes are still to go to the client.
    pub(crate) fn size_hint(&self) -> SizeHint {
        match (&self.exchange, &self.ready) {
            (None, Some(Ok(last))) => SizeHint::with_exact(last.len() as u64),
            (None, None) => SizeHint::with_exact(0),
            // An event may be added to a stream, however long the endpoint says it is.
            (Some(exchange), None) if !matches!(self.tap, Tap::Events(_)) => exchange.size_hint(),
            _ => SizeHint::default(),
        }
    }

    /// The next bytes for the client; `None` at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RelayError>>> {
        loop {
            if let Some(ready) = self.ready.take() {
                return Poll::Ready(Some(ready));
            }
            let Some(exchange) = &mut self.exchange else { return Poll::Ready(None) };
            match exchange.poll_chunk(cx) {
                Poll::Ready(Some(Ok(chunk))) => {
                    self.heard = Instant::now();
                    self.receive(chunk);
                    self.end_if_ended();
                }
                Poll::Ready(Some(Err(_))) => self.break_off(RelayError::Broken),
                Poll::Ready(None) => self.end_if_ended(),
                Poll::Pending if self.idle_for_too_long(cx) => self.break_off(RelayError::Idle),
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    /// Whether the endpoint has been silent for too long. If not, the task is woken when it will have been.
    fn idle_for_too_long(&mut self, cx: &mut Context<'_>) -> bool {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let deadline = self.heard + self.idle;
            if deadline <= Instant::now() {
                return true;
            }
            // Moving a timer for every token would cost more than one vain ring each `idle`.
            self.alarm.as_mut().reset(deadline);
        }
        false
    }

    /// Notes what a chunk says, and makes ready what of it may go to the client.
    fn receive(&mut self, chunk: Bytes) {
        let Tap::Events(stream) = &mut self.tap else {
            self.tap.keep(&chunk);
            self.ready = Some(Ok(chunk));
            return;
        };
        self.ticket.streamed(stream.read(&chunk));
        let lines = stream.whole_lines(chunk);
        if stream.aborted() {
            // What came with the abort and before it is as good as what came earlier.
            let good = lines.map(|lines| before_abort(&lines)).filter(|good| !good.is_empty());
            self.ready = good.map(Ok);
            self.break_off(RelayError::Aborted);
        } else {
            self.ready = lines.map(Ok);
        }
    }

    /// At the endpoint's end: the ticket settles, and the connection is free for others.
    fn end_if_ended(&mut self) {
        let Some(exchange) = self.exchange.take_if(|exchange| exchange.ended()) else { return };
        self.end(None);
        if let Some(connection) = exchange.into_idle() {
            self.pool.put(&self.endpoint.authority, connection);
        }
    }

    /// The endpoint's connection cannot be read any more, or shall not be.
    fn break_off(&mut self, error: RelayError) {
        self.exchange = None;
        self.end(Some(error));
    }

    /// Nothing more comes from the endpoint: the ticket settles, and the client is told if the answer is not whole.
    fn end(&mut self, broken: Option<RelayError>) {
        let fault = match &self.tap {
            Tap::Events(stream) => stream.fault(broken),
            Tap::Whole { .. } | Tap::Nothing => broken,
        };
        if let Some(usage) = self.tap.usage() {
            self.ticket.counted(usage);
        }
        match fault {
            None => self.ticket.succeeded(),
            Some(fault) => self.ticket.broke_off(fault.kind()),
        }
        let last = match (&mut self.tap, fault) {
            (Tap::Events(stream), None | Some(RelayError::ErrorEvent)) => stream.rest(),
            (Tap::Events(_), Some(fault)) => fault.event(&self.ticket.route().name),
            (_, None) => Bytes::new(),
            (_, Some(fault)) => {
                self.ready = Some(Err(fault));
                return;
            }
        };
        if !last.is_empty() {
            self.ready = Some(Ok(match self.ready.take() {
                Some(Ok(ready)) => [ready, last].concat().into(),
                _ => last,
            }));
        }
    }

    /// The next bytes for the client, of an answer that has to end now because the drain's deadline has passed.
    pub(crate) fn cut(&mut self) -> Option<Result<Bytes, RelayError>> {
        if self.exchange.is_some() {
            if !matches!(&self.tap, Tap::Events(stream) if stream.is_complete()) {
                self.ticket.cut();
            }
            self.break_off(RelayError::DrainDeadline);
        }
        self.ready.take()
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Drop for Relay<S> {
    /// A client may leave as soon as a stream has said that it is complete; the endpoint's last bytes say nothing new.
    fn drop(&mut self) {
        if let Tap::Events(stream) = &self.tap
            && stream.is_complete()
            && self.exchange.is_some()
        {
            self.end(None);
        }
    }
}

#[cfg(test)]
mod tests;
