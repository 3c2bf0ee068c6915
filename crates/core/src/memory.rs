//! What a route remembers from one request to the next.
//!
//! All workers share it, and it outlives a reload. Must not know: plans, or the route's configuration.

pub mod arrival_rates;
pub mod budget;
pub mod lengths;
pub mod prefix;
pub mod turns;

use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::estimate::bias::Bias;
use crate::memory::arrival_rates::ArrivalRates;
use crate::memory::lengths::Lengths;
use crate::memory::prefix::PrefixIndex;
use crate::memory::turns::Turns;
use crate::speed::models::Models;

/// The memory of one route.
#[derive(Debug, Default)]
pub struct RouteMemory {
    /// The turns of `RoundRobin`.
    pub turns: Turns,
    /// The models of speed of all its endpoints together, for those that have answered too few requests.
    pub models: Models,
    /// The factors by which TTFT forecasts are off: of requests served whole, and of those handed off.
    pub ttft_bias: [Bias; 2],
    /// The lengths of its answers.
    pub lengths: Lengths,
    /// The rates at which requests arrive, by priority.
    pub arrivals: ArrivalRates,
    prefixes: Mutex<PrefixIndex>,
}

impl RouteMemory {
    /// Prompt tokens that even the endpoint with the longest cached prefix has to compute: all of them where the
    /// prompt's `blocks`, of `block_tokens` each, are not known. The last token of a prompt is always computed.
    #[expect(clippy::cast_precision_loss, reason = "tokens")]
    #[must_use]
    pub fn uncached(&self, prompt_tokens: u64, blocks: &[u64], block_tokens: f64) -> f64 {
        let tokens = prompt_tokens as f64;
        if blocks.is_empty() {
            return tokens;
        }
        let held = self.prefixes().held(blocks, []).most();
        (tokens - f64::from(held) * block_tokens).clamp(1.0_f64.min(tokens), tokens)
    }

    /// The index of the endpoints that hold each prompt.
    pub fn prefixes(&self) -> MutexGuard<'_, PrefixIndex> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::state::EndpointState;

    #[test]
    fn what_one_endpoint_holds_has_not_to_be_computed_but_for_the_last_token() {
        let memory = RouteMemory::default();
        let endpoint = EndpointState::new("a", "127.0.0.1:1");
        let blocks = [1 << 40, 2 << 40, 3 << 40];
        assert!((memory.uncached(100, &blocks, 32.0) - 100.0).abs() < 1e-9, "nobody holds it");
        memory.prefixes().insert(endpoint.tag, &blocks[..2]);
        assert!((memory.uncached(100, &blocks, 32.0) - 36.0).abs() < 1e-9);
        assert!((memory.uncached(100, &[], 32.0) - 100.0).abs() < 1e-9, "its blocks are not known");
        memory.prefixes().insert(endpoint.tag, &blocks);
        assert!((memory.uncached(96, &blocks, 32.0) - 1.0).abs() < 1e-9);
        assert!(memory.uncached(0, &blocks, 32.0).abs() < 1e-9);
    }
}
