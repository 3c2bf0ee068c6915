//! What the queue knows of a request: its priority, its deadline, and how long its prefill takes at least.

use std::time::Duration;

use crate::request::analyze::Priority;
use crate::target::Target;

/// What the queue knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// Its priority, which is its class.
    pub priority: Priority,
    /// When it arrived, since the process's epoch.
    pub arrived: Duration,
    /// Its TTFT target.
    pub within: Duration,
    /// The shortest time that its first token can be expected to take.
    pub needs: Duration,
}

/// A first token takes at least this many times the forecast of its prefill alone: one or two engine steps come after
/// it, and forecasts err. At 1, requests are kept that are late already; at 3, some are refused that would be in time.
const AT_LEAST: f64 = 1.5;

/// Longest prefill that is believed, in seconds: a model that has seen few prompts can forecast any number.
const LONGEST_PREFILL: f64 = 3600.0;

impl Ask {
    /// A request that `arrived` with this target. `prefill`: seconds that the prefill of what is in no prefix cache is
    /// forecast to take.
    #[must_use]
    pub fn new(priority: Priority, arrived: Duration, target: Target, prefill: f64) -> Self {
        let needs = Duration::from_secs_f64((AT_LEAST * prefill).clamp(0.0, LONGEST_PREFILL));
        Self { priority, arrived, within: target.ttft, needs }
    }

    /// When its first token should come.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.arrived.saturating_add(self.within)
    }

    /// Whether its TTFT target can still be met.
    #[must_use]
    pub fn attainable(&self, now: Duration) -> bool {
        now.saturating_add(self.needs) <= self.deadline()
    }
}
