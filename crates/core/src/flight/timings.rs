//! The outcome of a request, and the durations of its stages.

use serde::Serialize;

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// The answer is complete.
    Success,
    /// The answer is a client error (4xx), from the router or the endpoint.
    ClientError,
    /// There is no answer, or not all of it.
    Failure,
    /// The request was refused because of a limit.
    Rejected,
    /// The client left before the end.
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

/// The durations of a request's stages, in seconds. `None` means that the stage did not happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Timings {
    /// From sending the prefill leg to its answer.
    pub prefill: Option<f64>,
    /// From sending the answering leg to the first token: KV transfer, queue, first step.
    pub transfer_and_queue: Option<f64>,
    /// From arrival to the first token; of a streamed answer only.
    pub ttft: Option<f64>,
    /// Mean time between tokens; of a streamed answer only.
    pub itl: Option<f64>,
    /// From the first to the last token.
    pub decoding: Option<f64>,
    /// From arrival to the end.
    pub total: f64,
    /// Output tokens, counted or from the endpoint's usage.
    pub tokens: u64,
    /// Quality of experience, 0..=1; of a streamed answer only.
    pub qoe: Option<f64>,
    /// Whether the targets were met. A streamed answer meets them with its TTFT and mean ITL, an answer in one piece by
    /// coming within the time that a stream at the targets would have taken. `None` without tokens.
    pub sla_met: Option<bool>,
}
