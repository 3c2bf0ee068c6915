//! How a cluster of the lab is served.

use qoe_core::admit::room::OnUnattainable;
use qoe_core::plan::policy::Policy;
use qoe_core::plan::scope::HandoffRule;

/// How requests are served: all that a route's configuration says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// The policy.
    pub policy: Policy,
    /// When requests are handed off.
    pub handoff: HandoffRule,
    /// Requests that may wait in each router; 0: none waits there, all are sent on at once.
    pub queue: usize,
    /// What becomes of requests that cannot be given what they were promised.
    pub on_unattainable: OnUnattainable,
}
