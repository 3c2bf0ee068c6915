//! The live state of a route; it outlives a reload.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use qoe_core::memory::RouteMemory;
use qoe_core::memory::budget::Budget;
use qoe_core::request::analyze::Analysis;

use crate::observe::load::LoadSums;
use crate::observe::route_metrics::RouteMetrics;
use crate::queue::admission::Admission;

/// The live state of a route.
pub(crate) struct RouteState {
    pub(crate) memory: RouteMemory,
    pub(crate) budget: Budget,
    /// Requests that have begun and not ended; those that wait are not among them.
    pub(crate) in_flight: AtomicU32,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metrics: RouteMetrics,
    /// What controllers are told.
    pub(crate) load: LoadSums,
    bytes_per_token: AtomicU64,
}

/// Bytes of a prompt for one token, before any endpoint has counted: English text with common tokenizers.
const BYTES_PER_TOKEN: f64 = 4.0;

/// How much one counted prompt moves the estimate.
const BYTES_PER_TOKEN_GAIN: f64 = 0.1;

impl RouteState {
    pub(crate) fn new(metrics: RouteMetrics, max_queued: usize) -> Self {
        Self {
            admission: Arc::new(Admission::new(max_queued, metrics.queued.clone())),
            metrics,
            load: LoadSums::default(),
            memory: RouteMemory::default(),
            budget: Budget::default(),
            in_flight: AtomicU32::new(0),
            bytes_per_token: AtomicU64::new(BYTES_PER_TOKEN.to_bits()),
        }
    }

    /// Prompt tokens of a request: counted where the client sent tokens, else estimated from the bytes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of at most some millions"
    )]
    pub(crate) fn prompt_tokens(&self, analysis: &Analysis) -> u64 {
        if let Some(exact) = analysis.prompt_tokens_exact {
            return u64::from(exact);
        }
        self.tokens_of(analysis.prompt_bytes).ceil() as u64
    }

    /// Tokens in so many bytes of a prompt, by estimate.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn tokens_of(&self, bytes: usize) -> f64 {
        bytes as f64 / f64::from_bits(self.bytes_per_token.load(Ordering::Relaxed))
    }

    /// An endpoint counted the tokens of a prompt of so many bytes. Estimates learn from it; a lost race loses one
    /// sample.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn counted(&self, bytes: usize, tokens: u64) {
        if bytes < 256 || tokens == 0 {
            return; // The chat template's own tokens would weigh too much.
        }
        let seen = (bytes as f64 / tokens as f64).clamp(0.5, 16.0);
        let old = f64::from_bits(self.bytes_per_token.load(Ordering::Relaxed));
        let new = old + BYTES_PER_TOKEN_GAIN * (seen - old);
        self.bytes_per_token.store(new.to_bits(), Ordering::Relaxed);
    }
}
