//! The routing policy of a route and its settings.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{REFERENCE, TARGET_MILLISECONDS, WEIGHT, cel};

/// The policy that chooses the endpoints for a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "!has(self.weights) || self.type == 'Weighted'"
        => "weights belong to the policy Weighted: set type to Weighted, or remove weights",
    "!has(self.predictive) || self.type == 'Predictive'"
        => "predictive belongs to the policy Predictive: set type to Predictive, or remove predictive"
)))]
pub struct Policy {
    /// The name of the policy.
    #[serde(rename = "type")]
    pub kind: PolicyType,
    /// Weights of the policy `Weighted`. Omitted: the published weights.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Settings of the policy `Predictive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictive: Option<Predictive>,
}

/// The routing policies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// Chooses the plan that is expected to meet the SLO and to slow other requests least. The router learns the speed
    /// and the prefix-cache contents of each endpoint from its answers. While no endpoint has room, requests wait in
    /// the router, the most urgent first.
    #[default]
    Predictive,
    /// The published formula: chooses the endpoint with the lowest weighted sum of its load signals.
    Weighted,
    /// Takes endpoints in turn.
    RoundRobin,
    /// Chooses the endpoint with the fewest requests in flight.
    LeastRequest,
    /// Draws two endpoints at random and chooses the less loaded one.
    PowerOfTwo,
    /// Chooses the endpoint that was sent the longest prefix of the prompt before. While load is uneven, chooses the
    /// one with the fewest requests in flight.
    PrefixAffinity,
}

/// Settings of the policy `Predictive`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Predictive {
    /// Whether a prefill endpoint may serve a whole request where that is expected to be better. With `false` it does
    /// so only if no other endpoint is left.
    pub cross_phase: bool,
}

impl Default for Predictive {
    fn default() -> Self {
        Self { cross_phase: true }
    }
}

/// Weights and reference values of the policy `Weighted`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Weights {
    /// Weights for comparing prefill endpoints.
    pub prefill: PrefillWeights,
    /// Weights for comparing decoding endpoints.
    pub decoding: DecodingWeights,
    /// The value that each signal is divided by, so that signals with different units can be added.
    pub references: References,
}

/// Weights of the prefill score: `ttft·TTFT/reference + prefixMiss·(1 − prefix hit rate) + queue·queued/reference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "self.ttft + self.prefixMiss + self.queue > 0.0"
        => "all weights are 0, so endpoints cannot be compared: set at least one above 0"
)))]
pub struct PrefillWeights {
    /// Weight of the time to first token.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub ttft: f64,
    /// Weight of the share of prompt tokens that miss the prefix cache of the endpoint.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub prefix_miss: f64,
    /// Weight of the number of requests at the endpoint.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub queue: f64,
}

impl Default for PrefillWeights {
    fn default() -> Self {
        Self { ttft: 0.5, prefix_miss: 0.3, queue: 0.2 }
    }
}

/// Weights of the decoding score: `itl·ITL/reference + tps·(1 − tokens per second/reference) +
/// queue·queued/reference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "self.itl + self.tps + self.queue > 0.0"
        => "all weights are 0, so endpoints cannot be compared: set at least one above 0"
)))]
pub struct DecodingWeights {
    /// Weight of the time between tokens.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub itl: f64,
    /// Weight of the tokens per second of one stream.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub tps: f64,
    /// Weight of the number of requests at the endpoint.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub queue: f64,
}

impl Default for DecodingWeights {
    fn default() -> Self {
        Self { itl: 0.6, tps: 0.3, queue: 0.1 }
    }
}

/// The value of each signal that scores 1 in the weighted sum (for tokens per second: 0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct References {
    /// Time to first token that scores 1, in milliseconds.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub ttft_milliseconds: u32,
    /// Time between tokens that scores 1, in milliseconds.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub itl_milliseconds: u32,
    /// Tokens per second of one stream that score 0.
    #[schemars(range(min = REFERENCE.min, max = REFERENCE.max))]
    pub tokens_per_second: u32,
    /// Number of requests at a prefill endpoint that scores 1.
    #[schemars(range(min = REFERENCE.min, max = REFERENCE.max))]
    pub prefill_queue: u32,
    /// Number of requests at a decoding endpoint that scores 1.
    #[schemars(range(min = REFERENCE.min, max = REFERENCE.max))]
    pub decoding_queue: u32,
}

impl Default for References {
    fn default() -> Self {
        Self {
            ttft_milliseconds: 300,
            itl_milliseconds: 50,
            tokens_per_second: 30,
            prefill_queue: 10,
            decoding_queue: 15,
        }
    }
}
