//! The service-level objective of one request: its TTFT and ITL targets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The TTFT and ITL targets of one request.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// The longest time to the first token that meets the target.
    pub ttft: Duration,
    /// The longest mean time between tokens that meets the target.
    pub itl: Duration,
}

impl Default for Target {
    fn default() -> Self {
        Self { ttft: Duration::from_millis(500), itl: Duration::from_millis(50) }
    }
}
