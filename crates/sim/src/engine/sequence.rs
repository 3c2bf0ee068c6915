//! The state of one request inside the engine.

use crate::engine::request::{Prefilled, Prompt, Request, RequestId, Source, Time};
use crate::kv::BlockId;
use crate::text::{Chain, Token};

/// A request and its progress. Invariant: `computed + scheduled ≤ known`.
#[derive(Debug)]
pub(super) struct Sequence {
    pub(super) id: RequestId,
    pub(super) request: Request,
    /// The number of prompt tokens and written tokens.
    pub(super) known: u32,
    /// The number of tokens whose KV is in `blocks`.
    pub(super) computed: u32,
    /// The number of tokens that the step in flight computes.
    pub(super) scheduled: u32,
    pub(super) blocks: Vec<BlockId>,
    /// The hashes of all full blocks of known tokens.
    pub(super) hashes: Vec<u64>,
    /// How many of `hashes` are registered in the pool.
    pub(super) registered: usize,
    /// The transfer that fills `blocks`, once it has begun.
    pub(super) transfer: Option<Transfer>,
    chain: Chain,
    pub(super) prefilled: Prefilled,
    pub(super) times: Times,
}

/// A KV transfer into blocks that are allocated for it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Transfer {
    /// When the transfer was requested. It may wait for the link after that.
    pub(super) began: Time,
    /// When all KV has arrived.
    pub(super) arrives: Time,
}

/// The engine times of a request's milestones, from which latencies are computed.
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
            // The text follows from the KV and not from the prompt, so wrong KV shows as wrong text.
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

    /// Whether only the KV of the last token is missing, so that the next step writes a token.
    pub(super) fn is_decoding(&self) -> bool {
        self.computed + 1 == self.known && self.times.scheduled.is_some() && self.computed > 0
    }

    pub(super) fn written(&self) -> u32 {
        self.known - self.request.prompt.tokens
    }

    /// The transfer time, if the request starts with KV from a prefill server.
    pub(super) fn pulls(&self) -> Option<Time> {
        match self.request.source {
            // A preempted request has lost its KV. The lease has ended by then, so this engine computes it.
            Source::Pulled { transfer, .. } if self.times.scheduled.is_none() => Some(transfer),
            _ => None,
        }
    }

    /// When the KV from a prefill server arrives, if its transfer has begun and the request still waits for it.
    pub(super) fn arrives_at(&self) -> Option<Time> {
        self.pulls().and(self.transfer).map(|transfer| transfer.arrives)
    }

    /// Writes the next token and returns it.
    pub(super) fn write(&mut self, block_size: u32) -> Token {
        let token = self.chain.next_token(self.request.variant);
        self.chain = self.chain.push(token);
        self.known += 1;
        // Written tokens enter the prefix cache too, because the next turn of a conversation repeats them.
        if self.known.is_multiple_of(block_size) {
            self.hashes.push(self.chain.0);
        }
        token
    }

    /// Whether the model ends its answer here.
    pub(super) fn ends_here(&self) -> bool {
        self.request.until_end
            && self.written() >= self.request.min_tokens
            && self.chain.ends_here(self.request.variant)
    }

    /// Resets the progress after the blocks were freed: every known token has to be computed again.
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
