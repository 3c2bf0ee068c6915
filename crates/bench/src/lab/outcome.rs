//! The outcomes of the requests of one run.

use std::time::Duration;

use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;

/// The [`Outcome::reason`] of a request that admission refused. All other unserved requests were lost.
pub const REFUSED: &str = "refused";

/// A stream is smooth if no gap between two of its tokens exceeds this many ITL targets. A mean hides that a stream
/// stalls while another prompt is computed in the same batch.
pub const LONGEST_PAUSE: f64 = 3.0;

/// The outcome of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// The time of arrival.
    pub at: Duration,
    /// The priority.
    pub priority: Priority,
    /// The length of the prompt in tokens.
    pub prompt_tokens: u32,
    /// The number of output tokens that arrived.
    pub output_tokens: u32,
    /// Seconds to the first token.
    pub ttft: Option<f64>,
    /// Mean seconds between tokens. `None`: the answer has one token.
    pub itl: Option<f64>,
    /// Longest pause between two of its tokens, in seconds.
    pub longest_gap: f64,
    /// Seconds to the end.
    pub e2e: f64,
    /// The quality of experience, 0 to 1. Refused and lost requests have 0.
    pub qoe: f64,
    /// Whether both targets were met.
    pub sla_met: bool,
    /// Whether both were met, and no pause was longer than [`LONGEST_PAUSE`] allows.
    pub smooth: bool,
    /// Whether the request was answered completely. Otherwise admission refused it, or it was lost with its endpoint.
    pub served: bool,
    /// Whether prefill and decoding ran on different endpoints.
    pub handoff: bool,
    /// The reason for the plan.
    pub reason: &'static str,
    /// Seconds in the router's queue.
    pub queued: f64,
    /// The number of prompt tokens whose KV was transferred.
    pub moved_tokens: u32,
    /// The number of prompt tokens that were found in a prefix cache.
    pub cached_tokens: u32,
    /// The TTFT forecast at planning, in seconds, if the policy forecasts.
    pub forecast_ttft: Option<f64>,
    /// The ITL forecast at planning, in seconds.
    pub forecast_itl: Option<f64>,
}

impl Outcome {
    /// Whether a request is smooth: it met its targets, and its longest gap is within the bound.
    #[must_use]
    pub fn is_smooth(sla_met: bool, longest_gap: f64, target: Target) -> bool {
        sla_met && longest_gap <= LONGEST_PAUSE * target.itl.as_secs_f64()
    }
}

/// How one endpoint was used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Use {
    /// The name.
    pub name: String,
    /// The role: `prefill`, `decoding` or `mixed`.
    pub role: &'static str,
    /// The share of time that it computed, 0 to 1.
    pub busy: f64,
    /// The mean share of KV blocks in use over time, 0 to 1.
    pub kv_use: f64,
    /// The number of preemptions for lack of KV blocks.
    pub preemptions: u64,
    /// The number of prompt tokens it computed.
    pub computed_tokens: u64,
    /// The number of tokens it wrote.
    pub written_tokens: u64,
}

/// The state of a run at one moment, sampled every second of virtual time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Seconds from the start.
    pub at: f64,
    /// Requests in the routers' queues.
    pub queued: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// The replicas that the scaling hints recommend: prefill, decoding.
    pub desired: (u32, u32),
}

/// One run: one workload under one policy on one cluster with one seed.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Run {
    /// Virtual seconds from the first arrival to the last end.
    pub seconds: f64,
    /// Virtual seconds in which requests arrived.
    pub arrivals_seconds: f64,
    /// All requests, in the order of arrival.
    pub outcomes: Vec<Outcome>,
    /// All endpoints.
    pub uses: Vec<Use>,
    /// The gaps between tokens of all streams, as a histogram: (upper bound in seconds, count), ascending.
    pub gaps: Vec<(f64, u64)>,
    /// The state of the run over time.
    pub moments: Vec<Moment>,
}
