//! The plan for one request, and why it was chosen.

use crate::plan::forecast::Forecast;
use crate::plan::reason::Reason;

/// The choice for one request; endpoints are indices into the pool that was planned over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One endpoint serves the whole request.
    Local {
        /// Who.
        endpoint: usize,
    },
    /// Prefill on one endpoint, decoding on another.
    Handoff {
        /// Who reads the prompt.
        prefill: usize,
        /// Who streams the tokens.
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

/// A plan, why it was made, and what is expected of it by policies that forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What is to be done.
    pub plan: Plan,
    /// Why.
    pub reason: Reason,
    /// What is expected.
    pub forecast: Option<Forecast>,
}
