//! A route's load as its requests show it: sums that controllers are told.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::observe::sharded::ShardedCounter;

/// Sums over all requests of a route in this router.
#[derive(Debug, Default)]
pub(crate) struct LoadSums {
    first_tokens: ShardedCounter,
    ttft_micros: ShardedCounter,
    prompt_tokens: ShardedCounter,
    gaps: ShardedCounter,
    gap_micros: ShardedCounter,
    reported: Mutex<LoadTotals>,
}

/// The sums at one moment, or what was added between two.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct LoadTotals {
    /// First tokens of streams.
    pub(crate) first_tokens: u64,
    /// The sum of their TTFTs, in microseconds.
    pub(crate) ttft_micros: u64,
    /// Prompt tokens of these streams.
    pub(crate) prompt_tokens: u64,
    /// Tokens after the first.
    pub(crate) gaps: u64,
    /// The sum of their inter-token latencies, in microseconds.
    pub(crate) gap_micros: u64,
}

impl LoadSums {
    /// Adds the first token of a stream.
    pub(crate) fn first_token(&self, ttft: Duration, prompt_tokens: u64) {
        self.first_tokens.inc();
        self.ttft_micros.inc_by(micros(ttft.as_secs_f64()));
        self.prompt_tokens.inc_by(prompt_tokens);
    }

    /// Adds `count` further tokens, each `gap` seconds after the one before.
    pub(crate) fn tokens(&self, count: u32, gap: f64) {
        self.gaps.inc_by(u64::from(count));
        self.gap_micros.inc_by(micros(gap * f64::from(count)));
    }

    /// What was added since this was last called.
    pub(crate) fn since_last_report(&self) -> LoadTotals {
        // Summed under the lock: of two that report at once, the later one must not see the older sums.
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.totals();
        let before = std::mem::replace(&mut *reported, now);
        LoadTotals {
            first_tokens: now.first_tokens - before.first_tokens,
            ttft_micros: now.ttft_micros - before.ttft_micros,
            prompt_tokens: now.prompt_tokens - before.prompt_tokens,
            gaps: now.gaps - before.gaps,
            gap_micros: now.gap_micros - before.gap_micros,
        }
    }

    fn totals(&self) -> LoadTotals {
        LoadTotals {
            first_tokens: self.first_tokens.get(),
            ttft_micros: self.ttft_micros.get(),
            prompt_tokens: self.prompt_tokens.get(),
            gaps: self.gaps.get(),
            gap_micros: self.gap_micros.get(),
        }
    }
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "not negative, and far below 2^64"
)]
fn micros(seconds: f64) -> u64 {
    (seconds * 1e6) as u64
}
