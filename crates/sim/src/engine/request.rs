//! What goes into an engine and what comes out of it.

use std::time::Duration;

use crate::kv::BlockId;
use crate::text::{Chain, Token};

/// A request's name, chosen by who adds it; unique among those in the engine.
pub type RequestId = u64;

/// A prompt, as far as an engine needs it: its length and its hashes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Prompt {
    /// How many tokens it has; at least one.
    pub tokens: u32,
    /// The chain after each whole block.
    pub blocks: Vec<u64>,
    /// The chain after all tokens: what the text goes on from.
    pub chain: Chain,
}

impl Prompt {
    /// Hashes tokens in blocks of `block_size`.
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

/// Where the KV of a request comes from and goes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Source {
    /// Computed here, used here.
    #[default]
    Local,
    /// Computed here for a decoding server: the blocks are kept under a lease.
    Produce,
    /// Computed elsewhere. What arrives decides the text: it should be the KV of this prompt.
    Pulled {
        /// The prompt whose KV arrives.
        content: Chain,
        /// How long the transfer takes, once the link is free.
        transfer: Duration,
        /// Tokens that the prefill server found in its own cache.
        remote_cached: u32,
    },
}

/// One request.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its name.
    pub id: RequestId,
    /// Its prompt.
    pub prompt: Prompt,
    /// The most tokens to write; at least one.
    pub max_tokens: u32,
    /// Tokens to write before the model may end its answer.
    pub min_tokens: u32,
    /// Whether the model may end its answer by itself.
    pub until_end: bool,
    /// Which of several samples of one prompt this is.
    pub variant: u32,
    /// Lower goes first, where the scheduling looks at it.
    pub priority: i64,
    /// Its KV.
    pub source: Source,
}

impl Request {
    /// A plain request.
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

    /// Tokens it may come to hold.
    #[must_use]
    pub fn most_tokens(&self) -> u32 {
        self.prompt.tokens.saturating_add(self.max_tokens)
    }
}

/// Why a request was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AddError {
    /// Too many wait already.
    #[error("the queue is full")]
    QueueFull,
    /// It needs more KV blocks than there are.
    #[error("the request does not fit into the KV cache")]
    TooLong,
}

/// How a prompt came to be in the KV cache.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefilled {
    /// Tokens found in the prefix cache (after a transfer: in that of the prefill server).
    pub cached: u32,
    /// Tokens in blocks that were filled here.
    pub created: u32,
}

/// Why a request ended by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The model ended its answer.
    Stop,
    /// `max_tokens` was reached.
    Length,
}

/// The end of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finish {
    /// Why.
    pub reason: Reason,
    /// The blocks kept for a decoding server, of a [`Source::Produce`] request.
    pub leased: Option<Vec<BlockId>>,
}

/// What happened in a step, in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The prompt is computed; the first token follows.
    PrefillDone {
        /// Of which request.
        id: RequestId,
        /// From where.
        prefilled: Prefilled,
    },
    /// One token was written.
    Token {
        /// By which request.
        id: RequestId,
        /// The token.
        token: Token,
    },
    /// The request is over.
    Finished {
        /// Which one.
        id: RequestId,
        /// How.
        finish: Finish,
    },
}

/// Time since the engine started.
pub type Time = Duration;
