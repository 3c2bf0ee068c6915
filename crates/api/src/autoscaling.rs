//! The bounds within which replicas of each phase are recommended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{REPLICAS, cel};

/// Bounds of the recommended replica counts, per phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Autoscaling {
    /// Bounds for prefill endpoints.
    pub prefill: ReplicaBounds,
    /// Bounds for decoding endpoints.
    pub decoding: ReplicaBounds,
}

/// The smallest and the largest replica count to recommend for one phase.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "self.minReplicas <= self.maxReplicas"
        => "minReplicas is above maxReplicas: swap them, or leave one out"
)))]
pub struct ReplicaBounds {
    /// The smallest number of replicas to recommend.
    #[schemars(range(min = REPLICAS.min, max = REPLICAS.max))]
    pub min_replicas: u32,
    /// The largest number of replicas to recommend.
    #[schemars(range(min = REPLICAS.min, max = REPLICAS.max))]
    pub max_replicas: u32,
}

impl Default for ReplicaBounds {
    fn default() -> Self {
        Self { min_replicas: 1, max_replicas: 32 }
    }
}
