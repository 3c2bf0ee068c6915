//! What this router has in flight at an endpoint: exact, and given back however a request ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use super::EndpointState;
use crate::phase::Phase;
use crate::speed::{Models, PromptPlace, PromptWork, StreamLoad, TransferPlace};

/// The sums over what is in flight.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    in_flight: [AtomicU32; 2],
    tokens: [AtomicU64; 2],
    unread: AtomicU64,
    streams: AtomicU32,
    stream_tokens: AtomicU64,
}

impl EndpointState {
    /// Requests of this router in flight here, in one phase.
    #[must_use]
    pub fn in_flight(&self, phase: Phase) -> u32 {
        self.ledger.in_flight[phase as usize].load(Ordering::Relaxed)
    }

    /// Requests of this router in flight here, in both phases.
    #[must_use]
    pub fn in_flight_all(&self) -> u32 {
        self.in_flight(Phase::Prefill) + self.in_flight(Phase::Decoding)
    }

    /// Tokens that this router's requests hold or will hold here, in one phase.
    #[must_use]
    pub fn tokens(&self, phase: Phase) -> u64 {
        self.ledger.tokens[phase as usize].load(Ordering::Relaxed)
    }

    /// Prompt tokens sent here that are not expected in its prefix cache and not read yet.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.ledger.unread.load(Ordering::Relaxed)
    }

    /// The streams of this router whose tokens come from here now.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn stream_load(&self) -> StreamLoad {
        StreamLoad {
            streams: f64::from(self.ledger.streams.load(Ordering::Relaxed)),
            tokens: self.ledger.stream_tokens.load(Ordering::Relaxed) as f64,
        }
    }

    /// Counts a request in until the returned hold is dropped.
    #[must_use]
    pub fn hold(self: &Arc<Self>, phase: Phase, tokens: u64) -> Hold {
        self.ledger.in_flight[phase as usize].fetch_add(1, Ordering::Relaxed);
        self.ledger.tokens[phase as usize].fetch_add(tokens, Ordering::Relaxed);
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
    ) -> Reading {
        let tokens = work.uncached.max(0.0).ceil() as u64;
        let ahead = self.ledger.unread.fetch_add(tokens, Ordering::Relaxed).saturating_add(tokens);
        let place = if told {
            Some(self.pace.prompt_sent(work, pool, now))
        } else {
            self.pace.prompt_passes(work, pool, now);
            None
        };
        Reading { state: Arc::clone(self), tokens, ahead, sent: now, place }
    }

    /// A KV cache of so many tokens departs to here.
    #[must_use]
    pub fn fetches(self: &Arc<Self>, tokens: f64, pool: &Models, now: Duration) -> Moving {
        let place = self.pace.transfer_sent(tokens, pool, now);
        Moving { state: Arc::clone(self), place: Some(place) }
    }

    /// Tokens of a stream begin to come, which will hold so many KV tokens.
    #[must_use]
    pub fn streams(self: &Arc<Self>, tokens: u64) -> Streaming {
        self.ledger.streams.fetch_add(1, Ordering::Relaxed);
        self.ledger.stream_tokens.fetch_add(tokens, Ordering::Relaxed);
        Streaming { state: Arc::clone(self), tokens }
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
        let ledger = &self.state.ledger;
        ledger.in_flight[self.phase as usize].fetch_sub(1, Ordering::Relaxed);
        ledger.tokens[self.phase as usize].fetch_sub(self.tokens, Ordering::Relaxed);
    }
}

/// A prompt on its way through an endpoint; dropped, it is no longer waited for.
#[derive(Debug)]
pub struct Reading {
    state: Arc<EndpointState>,
    tokens: u64,
    /// With those that were there before: what had to be read until this prompt was.
    ahead: u64,
    sent: Duration,
    place: Option<PromptPlace>,
}

impl Reading {
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

impl Drop for Reading {
    fn drop(&mut self) {
        self.state.ledger.unread.fetch_sub(self.tokens, Ordering::Relaxed);
        if let Some(place) = self.place.take() {
            self.state.pace.prompt_given_up(&place);
        }
    }
}

/// A KV cache on its way to an endpoint; dropped, it is no longer waited for.
#[derive(Debug)]
pub struct Moving {
    state: Arc<EndpointState>,
    place: Option<TransferPlace>,
}

impl Moving {
    /// It is there, and the first token after it came, which took a step of so many seconds.
    pub fn done(mut self, step: f64, pool: &Models, now: Duration) {
        if let Some(place) = self.place.take() {
            self.state.pace.transferred(&place, step, pool, now);
        }
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        if let Some(place) = self.place.take() {
            self.state.pace.transfer_given_up(&place);
        }
    }
}

/// A stream whose tokens come.
#[derive(Debug)]
pub struct Streaming {
    state: Arc<EndpointState>,
    tokens: u64,
}

impl Drop for Streaming {
    fn drop(&mut self) {
        self.state.ledger.streams.fetch_sub(1, Ordering::Relaxed);
        self.state.ledger.stream_tokens.fetch_sub(self.tokens, Ordering::Relaxed);
    }
}
