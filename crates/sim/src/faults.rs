//! Faults that tests ask for, of the kinds that a handle can inject without touching the engine.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::time::Duration;

use http::StatusCode;

use crate::lock::lock;

/// What goes wrong next. Only generating requests are hit; probes and metrics are not.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    failures: Mutex<VecDeque<StatusCode>>,
    delay: Mutex<Duration>,
}

impl Faults {
    /// Answers the next `count` requests with `status`.
    pub(crate) fn fail_next(&self, count: usize, status: StatusCode) {
        lock(&self.failures).extend(std::iter::repeat_n(status, count));
    }

    /// Holds every request back that long before it is looked at.
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
