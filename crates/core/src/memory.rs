//! What a route remembers from one request to the next; all workers share it, and it outlives a reload.

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
    /// Whose turn it is, for policies that take turns.
    pub turns: Turns,
    /// How fast its endpoints are, taken together: for those that have shown too little yet.
    pub models: Models,
    /// How far forecasts of the TTFT are off: of requests served whole, and of those handed over.
    pub ttft_bias: [Bias; 2],
    /// How long its answers are.
    pub lengths: Lengths,
    /// Who comes, by priority.
    pub arrivals: ArrivalRates,
    prefixes: Mutex<PrefixIndex>,
}

impl RouteMemory {
    /// Who holds which beginning of a prompt.
    pub fn prefixes(&self) -> MutexGuard<'_, PrefixIndex> {
        self.prefixes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
