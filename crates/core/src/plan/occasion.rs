//! What a pick of one endpoint needs to know of the request and the moment.

use std::time::Duration;

use crate::endpoint::Endpoint;
use crate::phase::Phase;

/// `PrefixAffinity`: share of the prompt's blocks that makes a holder attractive.
const ATTRACTIVE: f64 = 0.5;

/// `PrefixAffinity`: load is uneven where the most and the least requests in flight differ by more than this …
const UNEVEN_BY: f64 = 32.0;

/// … and by more than this ratio. All three as the cache-aware policy of sgl's router has them.
const UNEVEN_TIMES: f64 = 1.1;

/// What a pick needs to know of the request and the moment.
#[derive(Clone, Copy, Debug)]
pub struct Occasion<'a> {
    /// How many of the prompt's blocks each endpoint of the pool holds; empty: none does.
    pub depths: &'a [u32],
    /// The prompt's blocks.
    pub blocks: usize,
    /// The phase that is chosen for.
    pub phase: Phase,
    /// Who is chosen reads the prompt, be it all it does or not.
    pub reads: bool,
    /// Output tokens the client expects, if it said so.
    pub expected_output_tokens: Option<u32>,
    /// Time since the process's epoch.
    pub now: Duration,
}

impl Occasion<'_> {
    /// The candidate that holds the most of a prompt that is to be read, if it holds enough and load is even.
    pub(crate) fn holder(&self, pool: &[Endpoint], candidates: &[usize]) -> Option<usize> {
        let depth = |i: usize| self.depths.get(i).copied().unwrap_or_default();
        let load = |i: usize| pool[i].state.ledger.in_flight_all();
        let best = candidates
            .iter()
            .copied()
            .max_by_key(|i| (depth(*i), std::cmp::Reverse(load(*i))))
            .filter(|best| f64::from(depth(*best)) > ATTRACTIVE * self.blocks as f64)?;
        let loads = candidates.iter().map(|i| f64::from(load(*i)));
        let (least, most) = loads.fold((f64::MAX, 0.0_f64), |(a, b), l| (a.min(l), b.max(l)));
        let uneven = most - least > UNEVEN_BY && most > UNEVEN_TIMES * least;
        (self.reads && !uneven).then_some(best)
    }
}
