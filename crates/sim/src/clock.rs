//! Conversion between engine time and wall-clock time.

use std::time::Duration;

use tokio::time::Instant;

use crate::engine::request::Time;

/// A clock of engine time, which starts at zero and runs at `speed` times the wall clock.
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

    /// The wall-clock instant of an engine time.
    pub(crate) fn instant(&self, time: Time) -> Instant {
        self.start + time.div_f64(self.speed)
    }

    /// The engine time that passes in a span of wall-clock time.
    pub(crate) fn engine_span(&self, wall: Duration) -> Time {
        wall.mul_f64(self.speed)
    }

    /// Wall-clock time since the start.
    pub(crate) fn uptime(&self) -> Duration {
        self.start.elapsed()
    }
}
