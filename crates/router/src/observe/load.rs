//! What controllers are told of a route's load: of this router's own requests, and of the endpoints as it sees them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

pub(crate) use crate::config::report::report;

/// Sums since the last report. A lost race between a report and an addition moves one sample to the next report.
#[derive(Debug, Default)]
pub(crate) struct LoadSums {
    pub(crate) first_tokens: AtomicU64,
    pub(crate) ttft_micros: AtomicU64,
    pub(crate) prompt_tokens: AtomicU64,
    pub(crate) gaps: AtomicU64,
    pub(crate) gap_micros: AtomicU64,
}

impl LoadSums {
    /// The first token of a stream came.
    pub(crate) fn first_token(&self, ttft: Duration, prompt_tokens: u64) {
        self.first_tokens.fetch_add(1, Ordering::Relaxed);
        self.ttft_micros.fetch_add(micros(ttft.as_secs_f64()), Ordering::Relaxed);
        self.prompt_tokens.fetch_add(prompt_tokens, Ordering::Relaxed);
    }

    /// So many tokens came, each so many seconds after the one before.
    pub(crate) fn tokens(&self, count: u32, gap: f64) {
        self.gaps.fetch_add(u64::from(count), Ordering::Relaxed);
        self.gap_micros.fetch_add(micros(gap * f64::from(count)), Ordering::Relaxed);
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and far below 2^64"
)]
pub(crate) fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}
