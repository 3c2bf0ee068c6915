//! The promise: how soon the first token comes, and how fast the next ones.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schema::TARGET_MILLISECONDS;

/// The targets of a route's requests. A request can ask for its own TTFT target by the `slaTarget` header.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Slo {
    /// Time to first token, in milliseconds.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub ttft_milliseconds: u32,
    /// Time between two tokens, in milliseconds: the pace of reading.
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub itl_milliseconds: u32,
    /// Other targets for the requests of one priority.
    pub by_priority: SloByPriority,
    /// What becomes of a request that waits and whose first token cannot come in time any more.
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

/// What becomes of a request whose promise cannot be kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum OnUnattainable {
    /// It is served all the same, after those of its priority that can still be in time.
    #[default]
    BestEffort,
    /// It is answered 429 at once, with the time after which to try again.
    Reject,
}

/// Targets that differ from the route's for one priority.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", default)]
pub struct SloByPriority {
    /// For requests of high priority (1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub high: Option<SloOverride>,
    /// For requests of medium priority (2, what a request without the header has).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub medium: Option<SloOverride>,
    /// For requests of low priority (3).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub low: Option<SloOverride>,
}

/// Targets of one priority; what is left out is the route's.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct SloOverride {
    /// Time to first token, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub ttft_milliseconds: Option<u32>,
    /// Time between two tokens, in milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = TARGET_MILLISECONDS.min, max = TARGET_MILLISECONDS.max))]
    pub itl_milliseconds: Option<u32>,
}
