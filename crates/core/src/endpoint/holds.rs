//! What one request holds at an endpoint. Each guard gives its share of the ledger back on drop.

use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::state::EndpointState;
use crate::phase::Phase;
use crate::speed::models::Models;
use crate::speed::pace::{PromptPlace, TransferPlace};
use crate::speed::work::PromptWork;

impl EndpointState {
    /// Counts a request in until the returned hold is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>, phase: Phase, tokens: u64) -> Hold {
        self.ledger.enter(phase, tokens);
        Hold { state: Arc::clone(self), phase, tokens }
    }

    /// A prompt departs. `told`: its first token will be seen when it comes.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens")]
    pub fn reads(
        self: &Arc<Self>,
        work: PromptWork,
        told: bool,
        pool: &Models,
        now: Duration,
    ) -> PromptHold {
        let tokens = work.uncached.max(0.0).ceil() as u64;
        let ahead = self.ledger.add_unread(tokens);
        let place = if told {
            Some(self.pace.prompt_sent(work, pool, now))
        } else {
            self.pace.prompt_passes(work, pool, now);
            None
        };
        PromptHold { state: Arc::clone(self), tokens, ahead, sent: now, place }
    }

    /// A KV cache of so many tokens departs to here.
    #[must_use]
    pub fn fetches(self: &Arc<Self>, tokens: f64, pool: &Models, now: Duration) -> TransferHold {
        let place = self.pace.transfer_sent(tokens, pool, now);
        TransferHold { state: Arc::clone(self), place: Some(place) }
    }

    /// Tokens of a stream begin to come, which will hold so many KV tokens.
    #[must_use]
    pub fn streams(self: &Arc<Self>, tokens: u64) -> StreamHold {
        self.ledger.add_stream(tokens);
        StreamHold { state: Arc::clone(self), tokens }
    }
}

/// One request's place in an endpoint's ledger.
#[derive(Debug)]
pub struct Hold {
    state: Arc<EndpointState>,
    phase: Phase,
    tokens: u64,
}

impl Hold {
    /// The endpoint that is held.
    #[must_use]
    pub fn state(&self) -> &Arc<EndpointState> {
        &self.state
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.state.ledger.leave(self.phase, self.tokens);
    }
}

/// A prompt on its way through an endpoint; dropped, it is no longer waited for.
#[derive(Debug)]
pub struct PromptHold {
    state: Arc<EndpointState>,
    tokens: u64,
    /// With those that were there before: what had to be read until this prompt was.
    ahead: u64,
    sent: Duration,
    place: Option<PromptPlace>,
}

impl PromptHold {
    /// The prompt was read: how fast the endpoint reads is learned.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn done(mut self, pool: &Models, now: Duration) {
        let seconds = now.saturating_sub(self.sent).as_secs_f64();
        if seconds > 0.0 && self.ahead > 0 {
            self.state.signals.prefill_speed.observe(self.ahead as f64 / seconds, now);
        }
        if let Some(place) = self.place.take() {
            self.state.pace.prompt_read(&place, pool, now);
        }
    }
}

impl Drop for PromptHold {
    fn drop(&mut self) {
        self.state.ledger.remove_unread(self.tokens);
        if let Some(place) = self.place.take() {
            self.state.pace.prompt_given_up(&place);
        }
    }
}

/// A KV cache on its way to an endpoint; dropped, it is no longer waited for.
#[derive(Debug)]
pub struct TransferHold {
    state: Arc<EndpointState>,
    place: Option<TransferPlace>,
}

impl TransferHold {
    /// It is there, and the first token after it came, which took a step of so many seconds.
    pub fn done(mut self, step: f64, pool: &Models, now: Duration) {
        if let Some(place) = self.place.take() {
            self.state.pace.transferred(&place, step, pool, now);
        }
    }
}

impl Drop for TransferHold {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.state.pace.transfer_given_up(&place);
        }
    }
}

/// A stream whose tokens come.
#[derive(Debug)]
pub struct StreamHold {
    state: Arc<EndpointState>,
    tokens: u64,
}

impl Drop for StreamHold {
    fn drop(&mut self) {
        self.state.ledger.remove_stream(self.tokens);
    }
}
