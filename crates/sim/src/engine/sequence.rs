//! One request inside the engine.

use crate::engine::request::{Prefilled, Prompt, Request, RequestId, Source, Time};
use crate::kv::BlockId;
use crate::text::{Chain, Token};

/// A request with what has been computed of it. Token counts: `computed ≤ known`, and
/// `scheduled` of the difference are in the step in flight.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: RequestId,
    pub(super) request: Request,
    /// Prompt and written tokens.
    pub(super) known: u32,
    /// Tokens whose KV is in `blocks`.
    pub(super) computed: u32,
    pub(super) scheduled: u32,
    pub(super) blocks: Vec<BlockId>,
    /// The hashes of all whole blocks of known tokens, and how many are registered in the pool.
    pub(super) hashes: Vec<u64>,
    pub(super) registered: usize,
    /// The transfer that fills `blocks`, once they are there and it has begun.
    pub(super) transfer: Option<Transfer>,
    chain: Chain,
    pub(super) prefilled: Prefilled,
    pub(super) times: Times,
}

/// KV on its way into blocks that are held for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    /// When it was asked for; the link may be taken for a while yet.
    pub(super) began: Time,
    pub(super) arrives: Time,
}

/// When things happened to a request.
#[derive(Debug)]
pub(super) struct Times {
    pub(super) arrived: Time,
    pub(super) scheduled: Option<Time>,
    pub(super) first_token: Option<Time>,
    pub(super) last_token: Time,
}

impl Sequence {
    pub(super) fn new(now: Time, request: Request) -> Self {
        let chain = match request.source {
            Source::Pulled { content, .. } => content,
            Source::Local | Source::Produce => request.prompt.chain,
        };
        Self {
            id: request.id,
            known: request.prompt.tokens,
            computed: 0,
            scheduled: 0,
            blocks: Vec::new(),
            hashes: request.prompt.blocks.clone(),
            registered: 0,
            transfer: None,
            chain,
            prefilled: Prefilled::default(),
            times: Times { arrived: now, scheduled: None, first_token: None, last_token: now },
            request,
        }
    }

    /// Whether only the last token is missing: the next step writes one.
    pub(super) fn is_decoding(&self) -> bool {
        self.computed + 1 == self.known && self.times.scheduled.is_some() && self.computed > 0
    }

    pub(super) fn written(&self) -> u32 {
        self.known - self.request.prompt.tokens
    }

    /// How long the transfer takes of a request that starts with KV from elsewhere. A preempted one has lost it
    /// and is computed here.
    pub(super) fn pulls(&self) -> Option<Time> {
        match self.request.source {
            Source::Pulled { transfer, .. } if self.times.scheduled.is_none() => Some(transfer),
            _ => None,
        }
    }

    /// When its KV from elsewhere arrives, of a request that holds the blocks for it and waits.
    pub(super) fn arrives_at(&self) -> Option<Time> {
        self.pulls().and(self.transfer).map(|transfer| transfer.arrives)
    }

    /// Writes the next token.
    pub(super) fn write(&mut self, block_size: u32) -> Token {
        let token = self.chain.next_token(self.request.variant);
        self.chain = self.chain.push(token);
        self.known += 1;
        if self.known.is_multiple_of(block_size) {
            self.hashes.push(self.chain.0);
        }
        token
    }

    /// Whether the model ends its answer after what it has written.
    pub(super) fn ends_here(&self) -> bool {
        self.request.until_end
            && self.written() >= self.request.min_tokens
            && self.chain.ends_here(self.request.variant)
    }

    /// What remains after the blocks are gone: all has to be computed again.
    pub(super) fn reset(&mut self) {
        self.blocks.clear();
        self.computed = 0;
        self.scheduled = 0;
        self.registered = 0;
    }

    pub(super) fn prompt(&self) -> &Prompt {
        &self.request.prompt
    }
}
