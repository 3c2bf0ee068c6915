//! A request without priority, targets and stated length.

use std::time::Duration;

use thiserror::Error;

use crate::lab::arrival::Piece;

/// A request without priority, targets and stated length.
#[derive(Clone, Debug, PartialEq)]
pub(in crate::lab) struct Draft {
    /// The time of arrival in seconds from the start.
    pub(in crate::lab) at: f64,
    pub(in crate::lab) prompt: Vec<Piece>,
    pub(in crate::lab) output_tokens: u32,
    pub(in crate::lab) goes_on: bool,
}

/// An invalid workload.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum WorkloadError {
    /// No workload has this name.
    #[error("no workload is called {0:?}; there are: {all}", all = NAMES.join(", "))]
    Unknown(String),
    /// A parameter is invalid.
    #[error("{name}: {what}")]
    Figure {
        /// The parameter.
        name: &'static str,
        /// What is wrong, and what is expected.
        what: String,
    },
}

/// Seconds as a duration. Negative times become the start.
pub(super) fn duration(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or_default()
}

/// The names that `Workload::named` knows.
pub const NAMES: [&str; 6] = ["chat", "code", "documents", "conversations", "tiny", "agents"];
