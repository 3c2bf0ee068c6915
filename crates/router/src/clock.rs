//! The process's clock.

use std::time::{Duration, Instant};

/// The `now` of every decision: time since the process's epoch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    epoch: Instant,
}

impl Clock {
    /// A clock whose epoch is this moment.
    pub(crate) fn start() -> Self {
        Self { epoch: Instant::now() }
    }

    /// Time since the epoch.
    pub(crate) fn now(self) -> Duration {
        self.epoch.elapsed()
    }
}
