//! The status of the custom resource, and the definition that the API server gets.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the controller says of a route. Nothing in it moves fast, and nothing is per pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct QoERouteStatus {
    /// The generation of the spec that the rest speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Endpoints that can prefill and are ready, of those selected: `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<String>,
    /// Endpoints that can decode and are ready, of those selected: `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding: Option<String>,
    /// Endpoints of each phase, and how many there should be. An endpoint that does both phases counts in both.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phases: Option<PhasesStatus>,
    /// The routers that serve the route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub routers: Option<RoutersStatus>,
    /// `Accepted`, `ResolvedRefs`, `Programmed`, `Ready`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

/// Both phases.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct PhasesStatus {
    /// Reading prompts.
    pub prefill: PhaseStatus,
    /// Streaming tokens.
    pub decoding: PhaseStatus,
}

/// The endpoints of one phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct PhaseStatus {
    /// Endpoints that are ready.
    pub ready: u32,
    /// Endpoints that are selected.
    pub total: u32,
    /// How many replicas the load asks for, within the bounds of `spec.autoscaling`. Absent until it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub desired_replicas: Option<u32>,
    /// Why so many.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// The routers that are connected to the controller.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::for_kubernetes)]
pub struct RoutersStatus {
    /// Routers that are connected.
    pub connected: u32,
    /// Routers that serve by the route's latest state.
    pub programmed: u32,
}

#[cfg(test)]
mod tests;
