//! The way of an answer from an endpoint to a client: bytes pass as they come, and what they tell is noted.

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body::SizeHint;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::response::sse::Finish;
use qoe_core::response::usage::usage_of;
use tokio::time::{Instant, Sleep, sleep};

use crate::answer::broken::RelayError;
use crate::answer::tap::Tap;
use crate::ticket::Ticket;
use crate::upstream::exchange::Exchange;
use crate::upstream::pool::Pool;

/// An answer in one piece is looked at for its usage up to this size.
const MAX_LOOKED_AT: usize = 1 << 20;

/// An answer on its way.
pub(crate) struct Relay {
    exchange: Option<Exchange>,
    /// Read before the head was sent on.
    first: Option<Bytes>,
    /// Said after the endpoint's last bytes.
    last_words: Option<Bytes>,
    tap: Tap,
    ticket: Ticket,
    endpoint: Arc<EndpointState>,
    pool: Rc<Pool>,
    idle: Duration,
    heard: Instant,
    alarm: Pin<Box<Sleep>>,
}

impl Relay {
    /// Relays `exchange`, of which `first` was read already. The connection goes back to `pool` afterwards.
    pub(crate) fn new(
        exchange: Exchange,
        first: Option<Bytes>,
        tap: Tap,
        ticket: Ticket,
        endpoint: Arc<EndpointState>,
        pool: Rc<Pool>,
    ) -> Self {
        let idle = ticket.route().timeouts.idle;
        let mut relay = Self {
            exchange: Some(exchange),
            first: None,
            last_words: None,
            tap,
            ticket,
            endpoint,
            pool,
            idle,
            heard: Instant::now(),
            alarm: Box::pin(sleep(idle)),
        };
        if let Some(first) = first {
            relay.note(&first);
            relay.first = Some(first);
        }
        relay.settle_if_ended();
        relay
    }

    pub(crate) fn is_end_stream(&self) -> bool {
        self.exchange.is_none() && self.first.is_none() && self.last_words.is_none()
    }

    pub(crate) fn size_hint(&self) -> SizeHint {
        match &self.exchange {
            Some(exchange) if self.first.is_none() => exchange.size_hint(),
            None if self.last_words.is_none() => {
                SizeHint::with_exact(self.first.as_ref().map_or(0, |first| first.len() as u64))
            }
            _ => SizeHint::default(),
        }
    }

    /// The next bytes for the client; `None` at the end.
    pub(crate) fn poll_chunk(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Bytes, RelayError>>> {
        if let Some(first) = self.first.take() {
            return Poll::Ready(Some(Ok(first)));
        }
        let Some(exchange) = &mut self.exchange else {
            return Poll::Ready(self.last_words.take().map(Ok));
        };
        match exchange.poll_chunk(cx) {
            Poll::Ready(Some(Ok(chunk))) => {
                self.heard = Instant::now();
                self.note(&chunk);
                if self.aborted() {
                    return Poll::Ready(self.break_off(RelayError::Aborted));
                }
                self.settle_if_ended();
                Poll::Ready(Some(Ok(chunk)))
            }
            Poll::Ready(Some(Err(_))) => Poll::Ready(self.break_off(RelayError::Broken)),
            Poll::Ready(None) => {
                self.settle_if_ended();
                Poll::Ready(self.last_words.take().map(Ok))
            }
            Poll::Pending => self.poll_idle(cx),
        }
    }

    /// Whether the endpoint, on its way down, ended the stream as if it were whole: `finish_reason: "abort"`.
    fn aborted(&self) -> bool {
        matches!(&self.tap, Tap::Events { scan, .. } if scan.summary().finish == Some(Finish::Abort))
    }

    /// Pending until the endpoint was silent for too long.
    fn poll_idle(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, RelayError>>> {
        while self.alarm.as_mut().poll(cx).is_ready() {
            let deadline = self.heard + self.idle;
            if deadline <= Instant::now() {
                return Poll::Ready(self.break_off(RelayError::Idle));
            }
            // Set anew only when it rings, not for every token.
            self.alarm.as_mut().reset(deadline);
        }
        Poll::Pending
    }

    /// Notes what passing bytes tell.
    fn note(&mut self, chunk: &Bytes) {
        match &mut self.tap {
            Tap::Events { scan, .. } => {
                let tokens = scan.feed(chunk).content_events;
                self.ticket.streamed(tokens);
            }
            Tap::Whole { chunks, size } => {
                *size += chunk.len();
                if *size <= MAX_LOOKED_AT {
                    chunks.push(chunk.clone());
                }
            }
            Tap::Nothing => {}
        }
    }

    /// At the endpoint's end: the ticket settles, and the connection is free for others.
    fn settle_if_ended(&mut self) {
        let Some(exchange) = self.exchange.take_if(|exchange| exchange.ended()) else { return };
        match &mut self.tap {
            Tap::Events { scan, must_say_done } => {
                let summary = scan.summary();
                if let Some(usage) = summary.usage {
                    self.ticket.counted(usage);
                }
                if summary.error_seen {
                    self.ticket.broke_off("error_event");
                } else if *must_say_done && !summary.done_seen {
                    self.break_off_stream(RelayError::EndedEarly);
                }
            }
            Tap::Whole { chunks, size } if *size <= MAX_LOOKED_AT => {
                let usage = match chunks.as_slice() {
                    [only] => usage_of(only),
                    chunks => usage_of(&chunks.concat()),
                };
                if let Some(usage) = usage {
                    self.ticket.counted(usage);
                }
            }
            Tap::Whole { .. } | Tap::Nothing => {}
        }
        self.ticket.succeeded();
        if let Some(connection) = exchange.into_idle() {
            self.pool.put(&self.endpoint.authority, connection);
        }
    }

    /// The answer cannot go on.
    fn break_off(&mut self, error: RelayError) -> Option<Result<Bytes, RelayError>> {
        self.exchange = None;
        if let Tap::Events { scan, .. } = &self.tap {
            if scan.summary().clean_end {
                self.ticket.succeeded(); // All was said before the connection broke.
                return None;
            }
            self.break_off_stream(error);
            return self.last_words.take().map(Ok);
        }
        self.ticket.broke_off(error.kind());
        Some(Err(error))
    }

    /// The next bytes for the client, of an answer that has to end now because the drain's deadline has passed.
    pub(crate) fn cut(&mut self) -> Option<Result<Bytes, RelayError>> {
        if let Some(first) = self.first.take() {
            return Some(Ok(first));
        }
        if self.exchange.is_none() {
            return self.last_words.take().map(Ok);
        }
        if !matches!(&self.tap, Tap::Events { scan, .. } if scan.summary().clean_end) {
            self.ticket.cut();
        }
        self.break_off(RelayError::DrainDeadline)
    }

    fn break_off_stream(&mut self, error: RelayError) {
        let half_a_line = matches!(&self.tap, Tap::Events { scan, .. } if scan.in_line());
        self.last_words = Some(error.event(&self.ticket.route().name, half_a_line));
        self.ticket.broke_off(error.kind());
    }
}
