//! Engine time on the wall clock.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::request::Time;

/// Engine time: starts at zero and may run faster than the wall clock.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Clock {
    start: Instant,
    speed: f64,
}

impl Clock {
    pub(crate) fn starting_now(speed: f64) -> Self {
        Self { start: Instant::now(), speed }
    }

    pub(crate) fn now(&self) -> Time {
        self.start.elapsed().mul_f64(self.speed)
    }

    /// When an engine time comes.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.start + time.div_f64(self.speed)
    }

    /// How much engine time passes in a span of the wall clock.
    pub(crate) fn engine_span(&self, wall: Duration) -> Time {
        wall.mul_f64(self.speed)
    }

    /// Wall-clock time since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
