//! The SLO of a route: targets for the time to first token and the time between tokens.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::TARGET_MILLISECONDS;

/// The latency targets of the requests of a route. A request can set its own TTFT target in the `slaTarget` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Slo {
    /// Target for the time to first token, in milliseconds.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub ttft_milliseconds: u32,
    /// Target for the time between two tokens, in milliseconds.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub itl_milliseconds: u32,
    /// Targets that replace the route's for the requests of one priority.
    pub by_priority: SloByPriority,
    /// What happens to a request that can no longer meet its TTFT target.
    pub on_unattainable: OnUnattainable,
}

impl Default for Slo {
    fn default() -> Self {
        Self {
            ttft_milliseconds: 500,
            itl_milliseconds: 50,
            by_priority: SloByPriority::default(),
            on_unattainable: OnUnattainable::default(),
        }
    }
}

/// What happens to a request that can no longer meet its TTFT target.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnUnattainable {
    /// The request is served after those of the same priority that can still meet their target.
    #[default]
    BestEffort,
    /// The request is answered 429 at once, with a `retry-after` header.
    Reject,
}

/// Targets that replace the route's, by priority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SloByPriority {
    /// Targets of requests with high priority (1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<SloOverride>,
    /// Targets of requests with medium priority (2), which is the default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<SloOverride>,
    /// Targets of requests with low priority (3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<SloOverride>,
}

/// Targets of one priority. Omitted targets are the route's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SloOverride {
    /// Target for the time to first token, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub ttft_milliseconds: Option<u32>,
    /// Target for the time between two tokens, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub itl_milliseconds: Option<u32>,
}
