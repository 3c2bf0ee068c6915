//! A request before anything is promised about it.

use std::time::Duration;

use thiserror::Error;

use crate::lab::arrival::Piece;

/// A request before anything is promised about it.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::lab) struct Draft {
    /// Seconds from the start.
    pub(in crate::lab) at: f64,
    pub(in crate::lab) prompt: Vec<Piece>,
    pub(in crate::lab) output_tokens: u32,
    pub(in crate::lab) goes_on: bool,
}

/// A workload that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// No workload has this name.
    #[error("no workload is called {0:?}; there are: {all}", all = NAMES.join(", "))]
    Unknown(String),
    /// A figure is not one.
    #[error("{name}: {what}")]
    Figure {
        /// Of what.
        name: &'static str,
        /// What is wrong, and what is expected.
        what: String,
    },
}

/// Seconds as a duration; what is before the start is at the start.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

/// The names that `Workload::named` knows.
pub const NAMES: [&str; 6] = ["chat", "code", "documents", "conversations", "tiny", "agents"];
