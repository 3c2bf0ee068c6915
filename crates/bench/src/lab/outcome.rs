//! What became of the requests of one run.

use std::time::Duration;

use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;

/// The [`Outcome::reason`] of a request that admission refused; all others that were not served were lost.
pub const REFUSED: &str = "refused";

/// A stream is smooth if no pause between two of its tokens is longer than so many times its ITL target. A mean hides
/// that a stream stands still while somebody else's prompt is read.
pub const LONGEST_PAUSE: f64 = 3.0;

/// What became of one request.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// When it arrived.
    pub at: Duration,
    /// How urgent it was.
    pub priority: Priority,
    /// Tokens of its prompt.
    pub prompt_tokens: u32,
    /// Tokens of its answer that came.
    pub output_tokens: u32,
    /// Seconds to the first token.
    pub ttft: Option<f64>,
    /// Mean seconds between its tokens; `None` for answers of one token.
    pub itl: Option<f64>,
    /// Longest pause between two of its tokens, in seconds.
    pub longest_gap: f64,
    /// Seconds to its end.
    pub e2e: f64,
    /// Its quality of experience, 0 to 1; refused and failed ones have 0.
    pub qoe: f64,
    /// Whether both targets were met.
    pub sla_met: bool,
    /// Whether both were met, and no pause was longer than [`LONGEST_PAUSE`] allows.
    pub smooth: bool,
    /// Answered whole. Not so: refused by admission, or lost with its endpoint.
    pub served: bool,
    /// Prefill and decoding on two endpoints.
    pub handoff: bool,
    /// Why the plan was so.
    pub reason: &'static str,
    /// Seconds in the router's queue.
    pub queued: f64,
    /// Prompt tokens whose KV was moved.
    pub moved_tokens: u32,
    /// Prompt tokens that were found in a prefix cache.
    pub cached_tokens: u32,
    /// TTFT that was forecast when it was planned, if the policy forecasts.
    pub forecast_ttft: Option<f64>,
    /// ITL that was forecast.
    pub forecast_itl: Option<f64>,
}

impl Outcome {
    /// Whether a request that met its targets, or did not, was smooth too.
    #[must_use]
    pub fn is_smooth(sla_met: bool, longest_gap: f64, target: Target) -> bool {
        sla_met && longest_gap <= LONGEST_PAUSE * target.itl.as_secs_f64()
    }
}

/// How one endpoint was used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Use {
    /// Its name.
    pub name: String,
    /// `prefill`, `decoding` or `mixed`.
    pub role: &'static str,
    /// Share of the time in which it computed, 0 to 1.
    pub busy: f64,
    /// Share of the KV blocks that were held, mean over time, 0 to 1.
    pub kv_use: f64,
    /// Requests put back for want of KV.
    pub preemptions: u64,
    /// Prompt tokens it computed.
    pub computed_tokens: u64,
    /// Tokens it wrote.
    pub written_tokens: u64,
}

/// A moment of the run, every second of virtual time.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moment {
    /// Seconds from the start.
    pub at: f64,
    /// Requests in the routers' queues.
    pub queued: u32,
    /// Requests in flight.
    pub in_flight: u32,
    /// Replicas that the scaling hints ask for: prefill, decoding.
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
    /// Pauses between tokens, over all streams: (upper bound in seconds, how many), ascending.
    pub gaps: Vec<(f64, u64)>,
    /// The course of it.
    pub moments: Vec<Moment>,
}
