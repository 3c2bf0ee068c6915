//! Within which bounds replicas of each phase are recommended.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{REPLICAS, cel};

/// Bounds of the recommended replicas, per phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Autoscaling {
    /// Of endpoints for prefill.
    pub prefill: ReplicaBounds,
    /// Of endpoints for decoding.
    pub decoding: ReplicaBounds,
}

/// The fewest and the most replicas that are recommended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "self.minReplicas <= self.maxReplicas"
        => "minReplicas is above maxReplicas: swap them, or leave one out"
)))]
pub struct ReplicaBounds {
    /// Never recommend fewer.
    #[schemars(range(min = REPLICAS.min, max = REPLICAS.max))]
    pub min_replicas: u32,
    /// Never recommend more.
    #[schemars(range(min = REPLICAS.min, max = REPLICAS.max))]
    pub max_replicas: u32,
}

impl Default for ReplicaBounds {
    fn default() -> Self {
        Self { min_replicas: 1, max_replicas: 32 }
    }
}
