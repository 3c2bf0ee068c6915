//! One request of a trace.

use std::time::Duration;

/// The times and lengths of one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// The time since the first request.
    pub at: Duration,
    /// The length of the prompt in tokens, at least one.
    pub prompt_tokens: u32,
    /// The length of the answer in tokens, at least one.
    pub output_tokens: u32,
    /// The ids of the prompt's blocks of 512 tokens, if the trace has them. An id identifies a block *and all before
    /// it*.
    pub blocks: Vec<u64>,
}

/// The number of tokens in a block of the Mooncake trace.
pub const BLOCK: u32 = 512;
