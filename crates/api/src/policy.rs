//! How the router chooses endpoints.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::{REFERENCE, TARGET_MILLISECONDS, WEIGHT, cel};

/// The policy that chooses the endpoints of a request.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "!has(self.weights) || self.type == 'Weighted'"
        => "weights belong to the policy Weighted: set type to Weighted, or remove weights",
    "!has(self.predictive) || self.type == 'Predictive'"
        => "predictive belongs to the policy Predictive: set type to Predictive, or remove predictive"
)))]
pub struct Policy {
    /// Which policy.
    #[serde(rename = "type")]
    pub kind: PolicyType,
    /// Other weights for `Weighted`; left out, the published ones.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub weights: Option<Weights>,
    /// Rules of `Predictive`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub predictive: Option<Predictive>,
}

/// The policies there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum PolicyType {
    /// The plan that is expected to keep the promise (`slo`) and to cost other users least. How fast each endpoint is,
    /// and what its prefix cache holds, is learned from its answers. Requests wait in the router while no endpoint has
    /// room for them, the most urgent first.
    #[default]
    Predictive,
    /// The published formula: a weighted sum of what is known of an endpoint, lowest wins.
    Weighted,
    /// Each endpoint in its turn.
    RoundRobin,
    /// The endpoint with the fewest requests in flight.
    LeastRequest,
    /// The less loaded of two endpoints drawn at random.
    PowerOfTwo,
    /// The endpoint that was sent most of the prompt before; while load is uneven, the one with the fewest requests in
    /// flight.
    PrefixAffinity,
}

/// Rules of the `Predictive` policy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Predictive {
    /// A prefill endpoint may serve a whole request where that is expected to be better. `false` keeps it for prefill,
    /// unless there is no other.
    pub cross_phase: bool,
}

impl Default for Predictive {
    fn default() -> Self {
        Self { cross_phase: true }
    }
}

/// Weights and reference values of the `Weighted` policy.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Weights {
    /// How prefill endpoints are compared.
    pub prefill: PrefillWeights,
    /// How decoding endpoints are compared.
    pub decoding: DecodingWeights,
    /// What each signal is divided by, so that signals of different units add up.
    pub references: References,
}

/// `ttft·TTFT/reference + prefixMiss·(1 − prefix hit rate) + queue·queued/reference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "self.ttft + self.prefixMiss + self.queue > 0.0"
        => "all weights are 0, so nothing could be compared: set one of them above 0"
)))]
pub struct PrefillWeights {
    /// Weight of the time to first token.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub ttft: f64,
    /// Weight of the prompt's share that is not in the endpoint's prefix cache.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub prefix_miss: f64,
    /// Weight of the requests that wait at the endpoint.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub queue: f64,
}

impl Default for PrefillWeights {
    fn default() -> Self {
        Self { ttft: 0.5, prefix_miss: 0.3, queue: 0.2 }
    }
}

/// `itl·ITL/reference + tps·(1 − tokens per second/reference) + queue·queued/reference`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = cel!(
    "self.itl + self.tps + self.queue > 0.0"
        => "all weights are 0, so nothing could be compared: set one of them above 0"
)))]
pub struct DecodingWeights {
    /// Weight of the time between tokens.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub itl: f64,
    /// Weight of the tokens per second of a stream.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub tps: f64,
    /// Weight of the requests that wait at the endpoint.
    #[schemars(range(min = WEIGHT.min, max = WEIGHT.max))]
    pub queue: f64,
}

impl Default for DecodingWeights {
    fn default() -> Self {
        Self { itl: 0.6, tps: 0.3, queue: 0.1 }
    }
}

/// The value of each signal that counts as 1 in the weighted sum.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct References {
    /// Time to first token, in milliseconds.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub ttft_milliseconds: u32,
    /// Time between tokens, in milliseconds.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub itl_milliseconds: u32,
    /// Tokens per second of one stream.
    #[schemars(range(min = REFERENCE.min, max = REFERENCE.max))]
    pub tokens_per_second: u32,
    /// Requests that wait at a prefill endpoint.
    #[schemars(range(min = REFERENCE.min, max = REFERENCE.max))]
    pub prefill_queue: u32,
    /// Requests that wait at a decoding endpoint.
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
