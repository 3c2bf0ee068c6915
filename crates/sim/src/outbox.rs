//! What the engine has for one HTTP request: tokens of its choices, until all have ended.
//!
//! A slow reader finds more tokens at once, as with vLLM; what can pile up is bounded by the
//! request's `max_tokens`. One waker for all choices.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use crate::engine::request::{Finish, Prefilled};
use crate::text::Token;

/// Something that happened to choice number `.0`.
#[derive(Clone, Debug)]
pub(crate) enum Output {
    Prefilled(usize, Prefilled),
    /// One token, and the choice's end if it is the last.
    Token(usize, Token, Option<Finish>),
    /// The engine is gone: nothing follows for any choice.
    Failed,
}

#[derive(Debug, Default)]
struct State {
    outputs: Vec<Output>,
    waker: Option<Waker>,
}

/// The outputs of one HTTP request, written by the engine's task and read by the request's.
#[derive(Debug, Default)]
pub(crate) struct Outbox(Mutex<State>);

impl Outbox {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds an output and wakes the reader.
    pub(crate) fn push(&self, output: Output) {
        let mut state = self.state();
        state.outputs.push(output);
        if let Some(waker) = state.waker.take() {
            drop(state);
            waker.wake();
        }
    }

    /// Moves all outputs into `into`; pending while there are none.
    pub(crate) fn poll_take(&self, cx: &Context<'_>, into: &mut Vec<Output>) -> Poll<()> {
        let mut state = self.state();
        if state.outputs.is_empty() {
            state.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        into.append(&mut state.outputs);
        Poll::Ready(())
    }
}
