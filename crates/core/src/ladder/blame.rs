//! What a setback says of the endpoints of its plan: who failed, and whether KV caches handed over from there are good.

use std::time::Duration;

use crate::endpoint::pool::Pool;
use crate::ladder::setback::{LegFailure, Setback};
use crate::plan::choice::Plan;

/// Evidence about the endpoints of one plan, as indices into the pool.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Blame {
    /// The endpoint that failed by its own doing.
    pub failed: Option<usize>,
    /// The prefill endpoint that there is evidence about the KV caches of.
    pub kv: Option<(usize, KvEvidence)>,
}

/// What is known of a KV cache that was to be handed over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KvEvidence {
    /// The decoding endpoint answered: it loaded the cache.
    Loaded,
    /// The decoding endpoint failed as one does that could not load the cache.
    NotLoaded,
    /// The prefill endpoint gave no usable KV parameters.
    NotOffered,
}

/// For how long endpoints are avoided because of the evidence, where that is new.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sanctions {
    /// The endpoint that failed is ejected.
    pub ejected: Option<Duration>,
    /// Nothing is handed over from the prefill endpoint.
    pub kv_distrusted: Option<Duration>,
}

impl Blame {
    /// What a setback of a plan says of its endpoints.
    #[must_use]
    pub fn of(plan: Plan, setback: Setback) -> Self {
        match (plan, setback) {
            (_, Setback::NoConnector) => Self::default(),
            (Plan::Handoff { prefill, .. }, Setback::Prefill(failure)) => {
                Self { failed: failure.is_ill().then_some(prefill), kv: None }
            }
            (Plan::Handoff { prefill, .. }, Setback::NoKvParams) => {
                Self { failed: None, kv: Some((prefill, KvEvidence::NotOffered)) }
            }
            (Plan::Handoff { prefill, decoding }, Setback::Answer(failure)) => {
                let not_loaded = failure.could_be_kv_failure();
                Self {
                    // An error that it answers with may be due to the KV cache it was given.
                    failed: (failure == LegFailure::NoAnswer).then_some(decoding),
                    kv: not_loaded.then_some((prefill, KvEvidence::NotLoaded)),
                }
            }
            (Plan::Local { endpoint }, Setback::Prefill(failure) | Setback::Answer(failure)) => {
                Self { failed: failure.is_ill().then_some(endpoint), kv: None }
            }
            (Plan::Local { .. }, Setback::NoKvParams) => Self::default(),
        }
    }

    /// What an answer that has begun says of the endpoints of its plan.
    #[must_use]
    pub const fn of_answered(plan: Plan) -> Self {
        match plan {
            Plan::Local { .. } => Self { failed: None, kv: None },
            Plan::Handoff { prefill, .. } => {
                Self { failed: None, kv: Some((prefill, KvEvidence::Loaded)) }
            }
        }
    }

    /// Records the evidence with the endpoints.
    pub fn apply(self, pool: &Pool, now: Duration) -> Sanctions {
        let health = |endpoint: usize| &pool[endpoint].state.health;
        Sanctions {
            ejected: self.failed.and_then(|endpoint| health(endpoint).failed(now)),
            kv_distrusted: self.kv.and_then(|(prefill, evidence)| match evidence {
                KvEvidence::Loaded => health(prefill).kv_handed_over(true, now),
                KvEvidence::NotLoaded => health(prefill).kv_handed_over(false, now),
                KvEvidence::NotOffered => health(prefill).distrust_kv(now),
            }),
        }
    }
}
