//! The sums over this router's requests in flight at one endpoint, exact at any moment.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use crate::phase::Phase;
use crate::speed::work::StreamLoad;

/// This router's requests, tokens and streams at one endpoint.
#[derive(Debug, Default)]
pub struct Ledger {
    in_flight: [AtomicU32; 2],
    tokens: [AtomicU64; 2],
    unread: AtomicU64,
    streams: AtomicU32,
    stream_tokens: AtomicU64,
}

impl Ledger {
    /// Requests in flight in one phase.
    #[must_use]
    pub fn in_flight(&self, phase: Phase) -> u32 {
        self.in_flight[phase as usize].load(Ordering::Relaxed)
    }

    /// Requests in flight in both phases.
    #[must_use]
    pub fn in_flight_all(&self) -> u32 {
        self.in_flight(Phase::Prefill) + self.in_flight(Phase::Decoding)
    }

    /// KV tokens that the requests of one phase hold or will hold.
    #[must_use]
    pub fn tokens(&self, phase: Phase) -> u64 {
        self.tokens[phase as usize].load(Ordering::Relaxed)
    }

    /// Prompt tokens that were sent, are not expected in the prefix cache, and are not read yet.
    #[must_use]
    pub fn unread(&self) -> u64 {
        self.unread.load(Ordering::Relaxed)
    }

    /// The streams whose tokens are arriving.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn stream_load(&self) -> StreamLoad {
        StreamLoad {
            streams: f64::from(self.streams.load(Ordering::Relaxed)),
            tokens: self.stream_tokens.load(Ordering::Relaxed) as f64,
        }
    }

    pub(super) fn enter(&self, phase: Phase, tokens: u64) {
        self.in_flight[phase as usize].fetch_add(1, Ordering::Relaxed);
        self.tokens[phase as usize].fetch_add(tokens, Ordering::Relaxed);
    }

    pub(super) fn leave(&self, phase: Phase, tokens: u64) {
        self.in_flight[phase as usize].fetch_sub(1, Ordering::Relaxed);
        self.tokens[phase as usize].fetch_sub(tokens, Ordering::Relaxed);
    }

    /// Adds unread tokens. Returns all unread tokens.
    pub(super) fn add_unread(&self, tokens: u64) -> u64 {
        self.unread.fetch_add(tokens, Ordering::Relaxed).saturating_add(tokens)
    }

    pub(super) fn remove_unread(&self, tokens: u64) {
        self.unread.fetch_sub(tokens, Ordering::Relaxed);
    }

    pub(super) fn add_stream(&self, tokens: u64) {
        self.streams.fetch_add(1, Ordering::Relaxed);
        self.stream_tokens.fetch_add(tokens, Ordering::Relaxed);
    }

    pub(super) fn remove_stream(&self, tokens: u64) {
        self.streams.fetch_sub(1, Ordering::Relaxed);
        self.stream_tokens.fetch_sub(tokens, Ordering::Relaxed);
    }
}
