//! A streamed answer. All tokens since the last poll are sent as one chunk.

use std::task::{Context, Poll};

use bytes::{Bytes, BytesMut};

use crate::driver::Ticket;
use crate::outbox::Output;
use crate::side::Pulled;
use crate::wire::chunks::Chunks;
use crate::wire::error::ApiError;

/// The server-sent events of one request. Dropping it early, when the client disconnects, aborts the request.
#[derive(Debug)]
pub(crate) struct SseBody {
    ticket: Ticket,
    /// The KV transfer, held until the KV has been read.
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

    /// The next chunk, or `None` after the end.
    pub(crate) fn poll(&mut self, cx: &Context<'_>) -> Poll<Option<Bytes>> {
        while !self.done {
            if self.ticket.outbox.poll_take(cx, &mut self.outputs).is_pending() {
                return Poll::Pending;
            }
            self.write();
            if !self.buffer.is_empty() {
                return Poll::Ready(Some(self.buffer.split().freeze()));
            }
        }
        Poll::Ready(None)
    }

    fn write(&mut self) {
        for output in std::mem::take(&mut self.outputs) {
            match output {
                Output::Prefilled(choice, prefilled) => {
                    // The KV has been read, so the prefill server may free it while decoding continues.
                    self.pulled = None;
                    self.chunks.first(&mut self.buffer, choice, prefilled);
                }
                Output::Token(choice, token, finish) => {
                    self.unfinished -= usize::from(finish.is_some());
                    let end = finish.map(|finish| (finish.reason, self.unfinished == 0));
                    self.chunks.token(&mut self.buffer, choice, token, end);
                }
                Output::Failed => {
                    Chunks::failed(&mut self.buffer, &ApiError::engine_dead().body());
                    self.done = true;
                    return;
                }
            }
        }
        if self.unfinished == 0 {
            self.chunks.end(&mut self.buffer);
            self.done = true;
        }
    }
}
