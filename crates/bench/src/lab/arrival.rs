//! One request of a workload, as the lab plays it.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;

/// A piece of a prompt. Two pieces with one `content` have the same tokens, as far as the shorter one goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Piece {
    /// What is said.
    pub content: Content,
    /// In how many tokens.
    pub tokens: u32,
}

/// What a piece says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Content {
    /// Words of a user or of a system prompt, by their seed.
    Words(u64),
    /// What a model answers to all pieces before this one: the next turn of a conversation repeats it.
    Answer,
}

/// One request.
#[derive(Clone, Debug, PartialEq)]
pub struct Arrival {
    /// When, from the start of the workload.
    pub at: Duration,
    /// Its prompt; at least one token in all.
    pub prompt: Arc<[Piece]>,
    /// Tokens of the answer; at least one. No policy is told.
    pub output_tokens: u32,
    /// What the client says it expects (`x-expected-output-tokens`), if it says so.
    pub expected_output_tokens: Option<u32>,
    /// How urgent.
    pub priority: Priority,
    /// The promise.
    pub target: Target,
    /// Whether an earlier turn's answer is in the prompt: the phase is decoding by the published rules.
    pub goes_on: bool,
}

impl Arrival {
    /// Tokens of its prompt.
    #[must_use]
    pub fn prompt_tokens(&self) -> u32 {
        self.prompt.iter().map(|piece| piece.tokens).sum()
    }
}
