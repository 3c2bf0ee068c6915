//! The plan that a ticket carries out.

use std::sync::Arc;

use qoe_core::endpoint::state::EndpointState;
use qoe_core::plan::reason::Reason;

/// What became of the last plan.
#[derive(Default)]
pub(crate) struct PlanRecord {
    pub(crate) plan: Option<&'static str>,
    pub(crate) reason: Option<Reason>,
    pub(crate) prefill: Option<Arc<str>>,
    pub(crate) decoding: Option<Arc<EndpointState>>,
    pub(crate) attempts: u32,
}
