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
    /// The index of the endpoints that hold each prompt.
    pub fn prefixes(&self) -> MutexGuard<'_, PrefixIndex> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
