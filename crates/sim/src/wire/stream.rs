//! A streamed answer: what the engine has written since the last look goes out as one piece.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use super::answer::{Chunks, take};
use super::error::ApiError;
use crate::driver::Ticket;
use crate::outbox::Output;
use crate::side::Pulled;

/// Server-sent events of one request. Dropped early (the client left), it aborts the request.
#[derive(Debug)]
pub(crate) struct SseBody {
    ticket: Ticket,
    /// Held until the first token: then the KV has been read.
    pulled: Option<Pulled>,
    chunks: Chunks,
    outputs: Vec<Output>,
    buffer: BytesMut,
    unfinished: usize,
    done: bool,
}

impl SseBody {
    pub(crate) fn new(ticket: Ticket, pulled: Option<Pulled>, chunks: Chunks) -> Self {
        Self {
            ticket,
            pulled,
            unfinished: chunks.choices(),
            chunks,
            outputs: Vec::new(),
            buffer: BytesMut::new(),
            done: false,
        }
    }

    pub(crate) fn is_done(&self) -> bool {
        self.done
    }

    /// The next piece; `None` after the end.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        while !self.done {
            if self.ticket.outbox.poll_take(cx, &mut self.outputs).is_pending() {
                return Poll::Pending;
            }
            self.write();
            if !self.buffer.is_empty() {
                return Poll::Ready(Some(take(&mut self.buffer)));
            }
        }
        Poll::Ready(None)
    }

    fn write(&mut self) {
        let mut outputs = std::mem::take(&mut self.outputs);
        let mut rest = outputs.drain(..).peekable();
        while let Some(output) = rest.next() {
            match output {
                Output::Prefilled(choice, prefilled) => {
                    self.pulled = None;
                    self.chunks.first(&mut self.buffer, choice, prefilled);
                }
                Output::Token(choice, token) => {
                    // A choice's end follows its last token at once and goes into its event.
                    let end = rest.next_if(|next| matches!(next, Output::Finished(..)));
                    let end = end.and_then(|end| self.end_of(&end));
                    self.chunks.token(&mut self.buffer, choice, token, end);
                }
                Output::Finished(..) => {}
                Output::Failed => {
                    Chunks::failed(&mut self.buffer, &ApiError::engine_dead().body());
                    self.done = true;
                    return;
                }
            }
        }
        drop(rest);
        self.outputs = outputs;
        if self.unfinished == 0 {
            self.chunks.end(&mut self.buffer);
            self.done = true;
        }
    }

    fn end_of(&mut self, output: &Output) -> Option<(crate::engine::Reason, bool)> {
        let Output::Finished(_, finish) = output else { return None };
        self.unfinished -= 1;
        Some((finish.reason, self.unfinished == 0))
    }
}
