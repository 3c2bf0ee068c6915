//! One request of a trace.

use std::time::Duration;

/// One request of a trace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Row {
    /// When, from the first request on.
    pub at: Duration,
    /// Tokens of its prompt, at least one.
    pub prompt_tokens: u32,
    /// Tokens of its answer, at least one.
    pub output_tokens: u32,
    /// Its prompt's blocks of 512 tokens, where the trace has them. An id stands for a block *and all before it*.
    pub blocks: Vec<u64>,
}

/// Tokens of a block in the Mooncake trace.
pub const BLOCK: u32 = 512;
