//! The live state of a route, which outlives its configuration.

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
    /// Requests in flight, without those that wait in the queue.
    pub(crate) in_flight: AtomicU32,
    pub(crate) admission: Arc<Admission>,
    pub(crate) metrics: Arc<RouteMetrics>,
    /// The load that controllers scale by.
    pub(crate) load: LoadSums,
    bytes_per_token: AtomicU64,
}

/// Bytes of a prompt per token until an endpoint has reported a count: English text with common tokenizers. At half
/// or double, the first ten or so prompts of a route are taken to be twice or half as long as they are.
const BYTES_PER_TOKEN: f64 = 4.0;

/// The weight of one reported count in the estimate: an average over the last ten or so prompts. At double, a single
/// prompt in another language moves it by a fifth; at half, it follows a change of traffic in 20 prompts.
const BYTES_PER_TOKEN_GAIN: f64 = 0.1;

impl RouteState {
    /// The state of a new route, with room for `max_queued` waiting requests.
    pub(crate) fn new(route: &str, max_queued: usize) -> Self {
        let metrics = RouteMetrics::new(route);
        Self {
            admission: Arc::new(Admission::new(max_queued, metrics.queued.clone())),
            metrics: Arc::new(metrics),
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

    /// The estimated number of tokens in `bytes` of a prompt.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn tokens_of(&self, bytes: usize) -> f64 {
        bytes as f64 / f64::from_bits(self.bytes_per_token.load(Ordering::Relaxed))
    }

    /// Improves the estimate by a prompt of `bytes` in which an endpoint counted `tokens`. Two workers that do so at
    /// the same time may lose one of the two samples.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn counted(&self, bytes: usize, tokens: u64) {
        if bytes < 256 || tokens == 0 {
            return; // the chat template's own tokens would weigh too much
        }
        let seen = (bytes as f64 / tokens as f64).clamp(0.5, 16.0);
        let old = f64::from_bits(self.bytes_per_token.load(Ordering::Relaxed));
        let new = old + BYTES_PER_TOKEN_GAIN * (seen - old);
        self.bytes_per_token.store(new.to_bits(), Ordering::Relaxed);
    }
}
