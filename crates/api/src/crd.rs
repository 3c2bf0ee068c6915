//! The status of the custom resource, and the definition that the API server gets.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What the controller says of a route. Nothing in it moves fast, and nothing is per pod.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(transform = crate::schema::known_formats)]
pub struct QoERouteStatus {
    /// The generation of the spec that the rest speaks of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Prefill endpoints that are ready, of those selected: `2/2`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub prefill: Option<String>,
    /// Decoding endpoints that are ready, of those selected: `3/3`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding: Option<String>,
    /// `Accepted`, `ResolvedRefs`, `Programmed`, `Ready`.
    #[schemars(extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["type"]))]
    pub conditions: Vec<Condition>,
}

#[cfg(test)]
mod tests;
