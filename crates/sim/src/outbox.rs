//! The outputs of the engine for one HTTP request: tokens of all its choices, until all have ended.
//!
//! A slow reader gets several tokens at once, as with vLLM. The `max_tokens` of the request bounds what can accumulate.
//! All choices share one waker.

use std::sync::Mutex;
use std::task::{Context, Poll, Waker};

use crate::engine::request::{Finish, Prefilled};
use crate::lock::lock;
use crate::text::Token;

/// An output of the choice with index `.0`.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Prefilled(usize, Prefilled),
    /// One token, with the result of the choice if it is the last.
    Token(usize, Token, Option<Finish>),
    /// The engine has died. No output follows for any choice.
    Failed,
}

/// The outputs that the reader has not taken yet, and its waker while it waits.
#[derive(Debug, Default)]
struct Unread {
    outputs: Vec<Output>,
    waker: Option<Waker>,
}

/// The outputs of one HTTP request. The engine's task writes them, and the task of the request reads them.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<Unread>);

impl Outbox {
    /// Adds an output and wakes the reader.
    pub(crate) fn push(&self, output: Output) {
        let mut unread = lock(&self.0);
        unread.outputs.push(output);
        if let Some(waker) = unread.waker.take() {
            // The reader may run at once, and would wait for the lock.
            drop(unread);
            waker.wake();
        }
    }

    /// Moves all outputs into `into`. Pending while there are none.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, into: &mut Vec<Output>) -> Poll<()> {
        let mut unread = lock(&self.0);
        if unread.outputs.is_empty() {
            unread.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        into.append(&mut unread.outputs);
        Poll::Ready(())
    }
}
