//! Guards for what one request holds at an endpoint: each gives its share of the ledger back on drop.

use std::sync::Arc;
use std::time::Duration;

use crate::endpoint::state::EndpointState;
use crate::phase::Phase;
use crate::speed::models::Models;
use crate::speed::pace::{PromptPlace, TransferPlace};
use crate::speed::work::PromptWork;

impl EndpointState {
    /// Counts a request in this phase, with its KV tokens, until the returned hold is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>, phase: Phase, tokens: u64) -> Hold {
        self.ledger.enter(phase, tokens);
        Hold { state: Arc::clone(self), phase, tokens }
    }

    /// Notes that a prompt is sent. `watched`: its first token will be seen when it comes.
    #[must_use]
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "tokens")]
    pub fn reads(
        self: &Arc<Self>,
        work: PromptWork,
        watched: bool,
        pool: &Models,
        now: Duration,
    ) -> PromptHold {
        let tokens = work.uncached.max(0.0).ceil() as u64;
        let ahead = self.ledger.add_unread(tokens);
        let place = if watched {
            Some(self.pace.prompt_sent(work, pool, now))
        } else {
            self.pace.prompt_passes(work, pool, now);
            None
        };
        PromptHold { state: Arc::clone(self), tokens, ahead, sent: now, place }
    }

    /// Notes that the endpoint begins to fetch a KV cache of this many tokens.
    #[must_use]
    pub fn fetches(self: &Arc<Self>, tokens: f64, pool: &Models, now: Duration) -> TransferHold {
        let place = self.pace.transfer_sent(tokens, pool, now);
        TransferHold { state: Arc::clone(self), place: Some(place) }
    }

    /// Notes that a stream begins, which will hold this many KV tokens.
    #[must_use]
    pub fn streams(self: &Arc<Self>, tokens: u64) -> StreamHold {
        self.ledger.add_stream(tokens);
        StreamHold { state: Arc::clone(self), tokens }
    }
}

/// One request's share of an endpoint's ledger.
#[derive(Debug)]
pub struct Hold {
    state: Arc<EndpointState>,
    phase: Phase,
    tokens: u64,
}

impl Hold {
    /// The endpoint.
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

/// A prompt that an endpoint has to read. Dropped, it counts as given up.
#[derive(Debug)]
pub struct PromptHold {
    state: Arc<EndpointState>,
    tokens: u64,
    /// Unread tokens when it was sent, its own included.
    ahead: u64,
    sent: Duration,
    place: Option<PromptPlace>,
}

impl PromptHold {
    /// Notes that the prompt was read, and learns the endpoint's speed from it.
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

/// A KV cache that an endpoint has to fetch. Dropped, it counts as given up.
#[derive(Debug)]
pub struct TransferHold {
    state: Arc<EndpointState>,
    place: Option<TransferPlace>,
}

impl TransferHold {
    /// Notes that the cache arrived and the first token after it came, which itself took `step` seconds.
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

/// A stream whose tokens are arriving.
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
