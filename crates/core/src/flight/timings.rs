//! How a request ended, and the durations of its stages.

use serde::Serialize;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Answered whole.
    Success,
    /// Answered with a client error (4xx), by the router or by the endpoint.
    ClientError,
    /// Not answered, or not whole.
    Failure,
    /// Refused because of a limit.
    Rejected,
    /// The client left first.
    ClientGone,
}

impl Outcome {
    /// All outcomes, for metrics that are made once.
    pub const ALL: [Self; 5] =
        [Self::Success, Self::ClientError, Self::Failure, Self::Rejected, Self::ClientGone];

    /// The outcome's name in logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::ClientError => "client_error",
            Self::Failure => "failure",
            Self::Rejected => "rejected",
            Self::ClientGone => "client_gone",
        }
    }
}

/// What a request's clockwork says at its end. Seconds; `None` is "did not happen".
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// From departure of the prefill leg to its answer.
    pub prefill: Option<f64>,
    /// From departure of the decoding leg to the first token: KV transfer, queue, first step.
    pub transfer_and_queue: Option<f64>,
    /// From arrival to the first token; of a streamed answer only.
    pub ttft: Option<f64>,
    /// Mean time between tokens; of a streamed answer only.
    pub itl: Option<f64>,
    /// From the first to the last token.
    pub decoding: Option<f64>,
    /// From arrival to the end.
    pub total: f64,
    /// Output tokens seen, or said by the endpoint.
    pub tokens: u64,
    /// Quality of experience, 0..=1; of a streamed answer only.
    pub qoe: Option<f64>,
    /// Whether the promise was kept. A streamed answer: TTFT and mean ITL within their targets. An answer in one
    /// piece: all of it within the time the promised stream would have taken. `None` without tokens.
    pub sla_met: Option<bool>,
}
