//! The compared policies, each on the cluster that it is made for: the same machines, with phases separated or not.

use qoe_core::admit::room::OnUnattainable;
use qoe_core::plan::policy::{EndpointPolicy, Policy, Predictive};
use qoe_core::plan::scope::{HandoffMode, HandoffRule};
use qoe_core::plan::weighted::Weights;

use crate::lab::shape::Shape;
use crate::lab::world::rules::Rules;

/// A policy and its cluster.
#[derive(Clone, Debug, PartialEq)]
pub struct Contestant {
    /// The name in reports.
    pub label: &'static str,
    /// Whether this is the product's default policy.
    pub ours: bool,
    /// Whether this is the default policy with one part switched off, which shows the worth of that part.
    pub variant: bool,
    /// The settings of the route.
    pub rules: Rules,
    /// Whether every endpoint serves both phases.
    pub merged: bool,
}

/// The maximum number of requests that wait in a router.
const QUEUE: usize = 2048;

const fn rules(policy: Policy, mode: HandoffMode, min_prompt_tokens: u64) -> Rules {
    let handoff = HandoffRule { mode, min_prompt_tokens };
    Rules { policy, handoff, queue: 0, on_unattainable: OnUnattainable::BestEffort }
}

fn mixed(label: &'static str, policy: EndpointPolicy) -> Contestant {
    let rules = rules(policy.into(), HandoffMode::Never, 0);
    Contestant { label, ours: false, variant: false, rules, merged: true }
}

const fn variant(label: &'static str, rules: Rules, merged: bool) -> Contestant {
    Contestant { label, ours: false, variant: true, rules, merged }
}

/// A policy of routers for disaggregated serving, which hand off every request.
fn parted(label: &'static str, policy: EndpointPolicy) -> Contestant {
    let rules = rules(policy.into(), HandoffMode::Always, 0);
    Contestant { label, ours: false, variant: false, rules, merged: false }
}

/// All policies, with the product's default first.
#[must_use]
pub fn contestants() -> Vec<Contestant> {
    let predictive = Policy::Predictive(Predictive { cross_phase: true });
    let ours = Rules { queue: QUEUE, ..rules(predictive, HandoffMode::Auto, 0) };
    vec![
        Contestant { label: "Predictive", ours: true, variant: false, rules: ours, merged: false },
        variant("Predictive, no queue", Rules { queue: 0, ..ours }, false),
        variant("Predictive, mixed", ours, true),
        mixed("mixed, round-robin", EndpointPolicy::RoundRobin),
        mixed("mixed, least-request", EndpointPolicy::LeastRequest),
        mixed("mixed, power-of-two", EndpointPolicy::PowerOfTwo),
        mixed("mixed, prefix-affinity", EndpointPolicy::PrefixAffinity),
        parted("P/D, round-robin", EndpointPolicy::RoundRobin),
        parted("P/D, least-request", EndpointPolicy::LeastRequest),
        parted("P/D, prefix-affinity", EndpointPolicy::PrefixAffinity),
        Contestant {
            label: "Weighted",
            ours: false,
            variant: false,
            rules: rules(
                EndpointPolicy::Weighted(Weights::default()).into(),
                HandoffMode::Auto,
                512,
            ),
            merged: false,
        },
    ]
}

impl Contestant {
    /// The cluster of this policy, made of the machines of `shape`.
    #[must_use]
    pub fn cluster(&self, shape: &Shape) -> Shape {
        if self.merged { shape.merged() } else { shape.clone() }
    }
}
