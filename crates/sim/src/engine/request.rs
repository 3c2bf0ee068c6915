//! The requests that an engine takes, and the events that it produces.

use std::time::Duration;

use crate::kv::BlockId;
use crate::text::{Chain, Token};

/// The id of a request. The caller of `add` chooses it; it must be unique within the engine.
pub type RequestId = u64;

/// A prompt as the engine sees it: its length and its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// The number of tokens, at least one.
    pub tokens: u32,
    /// The chain hash after each full block: the keys of the prefix cache.
    pub blocks: Vec<u64>,
    /// The chain hash after all tokens, which determines the text that follows.
    pub chain: Chain,
}

impl Prompt {
    /// Hashes `tokens` in blocks of `block_size`.
    #[must_use]
    pub fn of(tokens: &[Token], block_size: u32) -> Self {
        let mut chain = Chain::START;
        let mut blocks = Vec::with_capacity(tokens.len() / block_size as usize);
        for block in tokens.chunks(block_size as usize) {
            chain = block.iter().fold(chain, |chain, token| chain.push(*token));
            if block.len() == block_size as usize {
                blocks.push(chain.0);
            }
        }
        Self { tokens: u32::try_from(tokens.len()).unwrap_or(u32::MAX), blocks, chain }
    }
}

/// Where the KV of a request is computed, and where it is used.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Computed and used by this engine.
    #[default]
    Local,
    /// Computed by this engine for a decoding server. The blocks are kept under a lease.
    Produce,
    /// Computed by a prefill server. The KV that arrives determines the text, as in a real engine, even if it belongs
    /// to another prompt.
    Pulled {
        /// The chain hash of the prompt whose KV arrives.
        content: Chain,
        /// The time that the transfer takes once the link is free.
        transfer: Duration,
        /// The number of tokens that the prefill server found in its own prefix cache.
        remote_cached: u32,
    },
}

/// One request to generate one sample.
#[derive(Clone, Debug)]
pub struct Request {
    /// The id of the request.
    pub id: RequestId,
    /// The prompt.
    pub prompt: Prompt,
    /// The maximum number of tokens to write, at least one.
    pub max_tokens: u32,
    /// The number of tokens to write before the model may end its answer.
    pub min_tokens: u32,
    /// Whether the model may end its answer before `max_tokens`.
    pub until_end: bool,
    /// The index of this sample among the samples of one prompt.
    pub variant: u32,
    /// The priority, lower values first. Only `Scheduling::Priority` uses it.
    pub priority: i64,
    /// Where the KV of the prompt is computed and used.
    pub source: Source,
}

impl Request {
    /// Creates a request with defaults: one sample of `max_tokens` tokens, computed here.
    #[must_use]
    pub fn new(id: RequestId, prompt: Prompt, max_tokens: u32) -> Self {
        Self {
            id,
            prompt,
            max_tokens,
            min_tokens: 0,
            until_end: false,
            variant: 0,
            priority: 0,
            source: Source::Local,
        }
    }

    /// The largest number of tokens whose KV the request can need.
    #[must_use]
    pub fn most_tokens(&self) -> u32 {
        self.prompt.tokens.saturating_add(self.max_tokens)
    }
}

/// Why an engine refused a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// The limit of waiting requests is reached.
    #[error("the queue is full")]
    QueueFull,
    /// The request needs more KV blocks than the engine has.
    #[error("the request does not fit into the KV cache")]
    TooLong,
}

/// How the KV of a prompt got into the cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefilled {
    /// The number of tokens found in the prefix cache. After a transfer: in that of the prefill server.
    pub cached: u32,
    /// The number of tokens in blocks that this engine filled.
    pub created: u32,
}

/// Why a request finished.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model ended its answer.
    Stop,
    /// `max_tokens` was reached.
    Length,
}

/// The result of a finished request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Why the request finished.
    pub reason: Reason,
    /// The blocks kept for a decoding server, if the request was a [`Source::Produce`].
    pub leased: Option<Vec<BlockId>>,
}

/// Something that happened in a step. Events of one request are in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The prompt is computed. The first token follows in the same step.
    PrefillDone {
        /// The id of the request.
        id: RequestId,
        /// How the KV of the prompt got into the cache.
        prefilled: Prefilled,
    },
    /// One token was written.
    Token {
        /// The id of the request.
        id: RequestId,
        /// The token that was written.
        token: Token,
    },
    /// The request has finished.
    Finished {
        /// The id of the request.
        id: RequestId,
        /// The result.
        finish: Finish,
    },
}

/// A point in engine time, counted from the engine's start.
pub type Time = Duration;
