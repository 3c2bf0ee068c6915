//! A request of a workload, as the lab plays it.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;

/// A piece of a prompt. Pieces with the same `content` have the same tokens, up to the length of the shorter one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// What the piece contains.
    pub content: Content,
    /// The length in tokens.
    pub tokens: u32,
}

/// The content of a piece.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Words of a user or of a system prompt, identified by their seed.
    Words(u64),
    /// The answer of the model to all pieces before this one, which the next turn of a conversation repeats.
    Answer,
}

/// One request of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// The time of arrival, from the start of the workload.
    pub at: Duration,
    /// The prompt, with at least one token in total.
    pub prompt: Arc<[Piece]>,
    /// The length of the answer in tokens, at least one. Policies do not see it.
    pub output_tokens: u32,
    /// The output length that the client states (`x-expected-output-tokens`), if any.
    pub expected_output_tokens: Option<u32>,
    /// The priority.
    pub priority: Priority,
    /// The latency targets.
    pub target: Target,
    /// Whether the prompt contains the answer of an earlier turn. The published rules take such a request for decoding.
    pub goes_on: bool,
}

impl Arrival {
    /// The length of the prompt in tokens.
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt.iter().map(|piece| piece.tokens).sum()
    }
}
