//! The service-level objective of one request: its TTFT and ITL targets.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// What the user was promised.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Target {
    /// Time to first token.
    pub ttft: Duration,
    /// Time between tokens, the pace of reading.
    pub itl: Duration,
}

impl Default for Target {
    fn default() -> Self {
        Self { ttft: Duration::from_millis(500), itl: Duration::from_millis(50) }
    }
}
