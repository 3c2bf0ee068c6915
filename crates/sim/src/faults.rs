//! Faults that tests inject into a server without touching its engine.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;

use crate::lock::lock;

/// The faults to inject. They affect generating requests only, not probes and metrics.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    failures: Mutex<VecDeque<StatusCode>>,
    delay: Mutex<Duration>,
}

impl Faults {
    /// Makes the next `count` requests fail with `status`.
    pub(crate) fn fail_next(&self, count: usize, status: StatusCode) {
        lock(&self.failures).extend(std::iter::repeat_n(status, count));
    }

    /// Delays every request by `delay` before it is parsed.
    pub(crate) fn delay(&self, delay: Duration) {
        *lock(&self.delay) = delay;
    }

    pub(crate) fn next_failure(&self) -> Option<StatusCode> {
        lock(&self.failures).pop_front()
    }

    pub(crate) fn current_delay(&self) -> Duration {
        *lock(&self.delay)
    }
}
