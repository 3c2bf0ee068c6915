//! The plan for one request, and why it was chosen.

use crate::plan::forecast::Forecast;
use crate::plan::reason::Reason;

/// The plan for one request. Endpoints are indices into the pool that was planned over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One endpoint serves the whole request.
    Local {
        /// The endpoint that serves it.
        endpoint: usize,
    },
    /// Prefill on one endpoint, decoding on another.
    Handoff {
        /// The endpoint that reads the prompt.
        prefill: usize,
        /// The endpoint that generates the answer.
        decoding: usize,
    },
}

impl Plan {
    /// The endpoint whose answer the client gets.
    #[must_use]
    pub const fn answering(self) -> usize {
        match self {
            Self::Local { endpoint } => endpoint,
            Self::Handoff { decoding, .. } => decoding,
        }
    }
}

/// A plan with its reason, and its forecast from policies that make one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// The plan.
    pub plan: Plan,
    /// Why this plan was chosen.
    pub reason: Reason,
    /// What is expected of it; `None` from policies that do not forecast.
    pub forecast: Option<Forecast>,
}
