//! What the queue knows of a request: its priority, its deadline, and how long its prefill takes at least.

use std::time::Duration;

use crate::request::analyze::Priority;
use crate::target::Target;

/// Who has waited for so many times its TTFT target rises one class.
const RISES_AFTER: u32 = 6;

/// And not before this.
const RISES_AFTER_AT_LEAST: Duration = Duration::from_secs(3);

/// What the queue knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How urgent it is.
    pub priority: Priority,
    /// When it arrived.
    pub arrived: Duration,
    /// How long after that its first token should come.
    pub within: Duration,
    /// How long its first token takes at the least.
    pub needs: Duration,
}

/// A first token takes at least so many times what reading its prompt alone is expected to: a step or two more, and
/// forecasts err.
const AT_LEAST: f64 = 1.5;

/// Longest time that reading a prompt is taken to need: the model may have learned nonsense.
const LONGEST_READING: f64 = 3600.0;

impl Ask {
    /// A request that `arrived` with this promise, and whose prompt takes so many seconds to read.
    #[must_use]
    pub fn new(priority: Priority, arrived: Duration, target: Target, reading: f64) -> Self {
        let needs = Duration::from_secs_f64((AT_LEAST * reading).clamp(0.0, LONGEST_READING));
        Self { priority, arrived, within: target.ttft, needs }
    }

    /// When its first token should come.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.arrived.saturating_add(self.within)
    }

    /// Whether the promise can still be kept.
    #[must_use]
    pub fn attainable(&self, now: Duration) -> bool {
        now.saturating_add(self.needs) <= self.deadline()
    }

    /// Its class, 0 the first, less one for each long wait.
    pub(crate) fn class(&self, now: Duration) -> u32 {
        let class = match self.priority {
            Priority::High => 0,
            Priority::Medium => 1,
            Priority::Low => 2,
        };
        let patience = self.within.saturating_mul(RISES_AFTER).max(RISES_AFTER_AT_LEAST);
        let waited = now.saturating_sub(self.arrived);
        if waited < patience {
            return class;
        }
        let risen = waited.div_duration_f64(patience) as u32;
        class - risen.min(class)
    }
}
