//! The status of the custom resource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the controller reports about a route. It has no fast-moving values and no entries per pod, so that writes
/// to the API server stay few.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct QoERouteStatus {
    /// The generation of the spec that this status describes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready prefill endpoints out of those selected, such as `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<String>,
    /// Ready decoding endpoints out of those selected, such as `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding: Option<String>,
    /// Endpoint counts and the recommended replicas of each phase. An endpoint that serves both phases counts in both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<PhasesStatus>,
    /// How many routers are connected, and how many serve the latest state of the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routers: Option<RoutersStatus>,
    /// The conditions `Accepted`, `ResolvedRefs`, `Programmed` and `Ready`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// The endpoints of both phases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct PhasesStatus {
    /// The prefill phase, which computes prompts.
    pub prefill: PhaseStatus,
    /// The decoding phase, which generates tokens.
    pub decoding: PhaseStatus,
}

/// The endpoints of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct PhaseStatus {
    /// Number of endpoints that are ready.
    pub ready: u32,
    /// Number of endpoints that the selector matches.
    pub total: u32,
    /// Number of replicas that the load needs, within the bounds of `spec.autoscaling`. Absent until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<u32>,
    /// Why this number of replicas is recommended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The routers that are connected to the controllers.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct RoutersStatus {
    /// Number of connected routers.
    pub connected: u32,
    /// Number of routers that serve the latest state of the route.
    pub programmed: u32,
}

#[cfg(test)]
mod tests;
