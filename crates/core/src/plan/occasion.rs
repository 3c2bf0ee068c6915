//! The request and the moment for which an endpoint is picked.

use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::phase::Phase;

/// The share of the prompt's blocks that an endpoint must hold for `PrefixAffinity` to prefer it. The default of the
/// cache-aware policy of sglang's router.
const MIN_HELD_SHARE: f64 = 0.5;

/// Load is uneven for `PrefixAffinity` if the most and the fewest requests in flight at one endpoint differ by more
/// than this number and by more than [`UNEVEN_RATIO`]. The default of the cache-aware policy of sglang's router.
const UNEVEN_DIFFERENCE: f64 = 32.0;

/// The ratio of the most to the fewest requests in flight beyond which load is uneven. The default of the cache-aware
/// policy of sglang's router.
const UNEVEN_RATIO: f64 = 1.1;

/// The request and the moment for which an endpoint is picked.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// The number of the prompt's blocks that each endpoint of the pool holds; empty if none does.
    pub depths: &'a [u32],
    /// The number of the prompt's blocks.
    pub blocks: usize,
    /// The phase for which an endpoint is picked.
    pub phase: Phase,
    /// Whether the picked endpoint reads the prompt.
    pub reads: bool,
    /// Output tokens the client expects, if it said so.
    pub expected_output_tokens: Option<u32>,
    /// The time since the process's epoch.
    pub now: Duration,
}

impl Occasion<'_> {
    /// The candidate that holds the most of a prompt to be read, if it holds enough and load is even.
    pub(crate) fn holder(&self, pool: &[Endpoint], candidates: &[usize]) -> Option<usize> {
        let depth = |i: usize| self.depths.get(i).copied().unwrap_or_default();
        let load = |i: usize| pool[i].state.ledger.in_flight_all();
        let best = candidates
            .iter()
            .copied()
            .max_by_key(|i| (depth(*i), std::cmp::Reverse(load(*i))))
            .filter(|best| f64::from(depth(*best)) > MIN_HELD_SHARE * self.blocks as f64)?;
        let loads = candidates.iter().map(|i| f64::from(load(*i)));
        let (least, most) = loads.fold((f64::MAX, 0.0_f64), |(a, b), l| (a.min(l), b.max(l)));
        let uneven = most - least > UNEVEN_DIFFERENCE && most > UNEVEN_RATIO * least;
        (self.reads && !uneven).then_some(best)
    }
}
