//! What came of one plan: an answer that has begun, or a setback.

use std::sync::Arc;

use bytes::Bytes;
use http::StatusCode;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::phase::Phase;
use qoe_core::plan::reason::Reason;

use crate::failure::Failure;
use crate::upstream::error::UpstreamError;
use crate::upstream::exchange::Exchange;

/// An endpoint's answer, begun.
pub(crate) struct Answered {
    pub(super) head: http::response::Parts,
    pub(super) exchange: Exchange,
    pub(super) first: Option<Bytes>,
    pub(super) endpoint: Arc<EndpointState>,
}

/// Why a plan was not carried out, and what may follow.
pub(crate) enum Setback {
    /// Nothing more.
    Final(Failure),
    /// Another attempt, if the budget allows.
    Another(Failure),
    /// Another attempt, which is paid for already.
    Replan(Failure),
    /// The same without a handoff; nothing was lost but time.
    Whole(Reason),
}

impl Setback {
    /// Whether a decoding endpoint may have said this because the KV cache it was promised did not come.
    pub(super) fn could_be_kv_failure(&self) -> bool {
        match self {
            Self::Another(Failure::Upstream { error, .. }) => {
                matches!(error, UpstreamError::ErrorEvent)
            }
            Self::Another(Failure::Answered { answer, .. }) => {
                answer.status == StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => false,
        }
    }
}

/// Whom a leg goes to, and as what.
#[derive(Clone, Copy)]
pub(crate) struct Party<'a> {
    pub(crate) phase: Phase,
    pub(crate) endpoint: &'a Arc<EndpointState>,
    /// It was given another endpoint's KV cache: an error may be that one's doing.
    pub(crate) handed_over: bool,
}

impl<'a> Party<'a> {
    pub(crate) const fn prefill(endpoint: &'a Arc<EndpointState>) -> Self {
        Self { phase: Phase::Prefill, endpoint, handed_over: false }
    }

    pub(crate) const fn decoding(endpoint: &'a Arc<EndpointState>, handed_over: bool) -> Self {
        Self { phase: Phase::Decoding, endpoint, handed_over }
    }
}
