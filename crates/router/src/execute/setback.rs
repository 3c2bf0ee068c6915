//! What came of one plan: an answer that has begun, or why there is none.

use std::sync::Arc;

use bytes::Bytes;
use qoe_core::endpoint::connector::Incomplete;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::ladder::setback::{LegFailure, Setback};
use qoe_core::phase::Phase;

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

/// Why a plan came to nothing.
pub(crate) enum FailedPlan {
    /// The prefill endpoint has no connector to hand over with.
    NoConnector,
    /// The prefill endpoint's answer lacks KV parameters.
    NoKvParams(Incomplete),
    /// An endpoint failed a leg. This failure is the client's answer if nothing better comes.
    Leg(Failure),
}

impl FailedPlan {
    /// The setback as the fallback ladder knows it.
    pub(super) fn setback(&self) -> Setback {
        match self {
            Self::NoConnector => Setback::NoConnector,
            Self::NoKvParams(_) => Setback::NoKvParams,
            Self::Leg(failure) => match failure.phase() {
                Some(Phase::Prefill) => Setback::Prefill(leg_failure(failure)),
                _ => Setback::Answer(leg_failure(failure)),
            },
        }
    }

    /// The failure to answer the client with.
    pub(super) fn into_failure(self) -> Option<Failure> {
        match self {
            Self::Leg(failure) => Some(failure),
            Self::NoConnector | Self::NoKvParams(_) => None,
        }
    }
}

const fn leg_failure(failure: &Failure) -> LegFailure {
    match failure {
        Failure::Answered { answer, .. } => LegFailure::Status(answer.status.as_u16()),
        Failure::Upstream { error: UpstreamError::ErrorEvent, .. } => LegFailure::ErrorEvent,
        _ => LegFailure::NoAnswer,
    }
}
