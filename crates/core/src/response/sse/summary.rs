//! What the events of a stream have said so far.

use crate::response::usage::Usage;

/// Why the model stopped, by the stream's `finish_reason`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// The model ended its answer, or produced a stop string.
    Stop,
    /// The answer reached the limit of tokens.
    Length,
    /// The model calls tools.
    ToolCalls,
    /// The endpoint gave the request up, as vLLM does on SIGTERM.
    Abort,
    /// Any other reason.
    Other,
}

/// What the events of a stream have said so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Number of events with data.
    pub events: u32,
    /// Number of events with content.
    pub content_events: u32,
    /// Whether the stream said that it is complete (`[DONE]`, or the last event of the responses or messages API).
    pub done_seen: bool,
    /// Whether the stream carried an error.
    pub error_seen: bool,
    /// The last usage in the stream, also after `[DONE]`.
    pub usage: Option<Usage>,
    /// The last `finish_reason` in the stream.
    pub finish: Option<Finish>,
    /// Whether the stream was complete, without an error or abort, and ended with a whole line.
    pub clean_end: bool,
}
