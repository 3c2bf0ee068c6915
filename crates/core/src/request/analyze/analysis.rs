//! What the router knows of one request: the result of [`analyze`](super::analyze).

use std::time::Duration;

use http::HeaderMap;

use crate::phase::Phase;
use crate::request::analyze::headers::{HeaderRules, Priority};
use crate::request::analyze::members::Members;

/// The API that was called, as far as it decides how a body is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Api {
    /// `/v1/chat/completions`
    ChatCompletions,
    /// `/v1/completions`
    Completions,
    /// Any other API with a JSON object as its body.
    Other,
}

/// Why a request must be served whole by one endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum WholeReason {
    /// The API has no two phases, or the router does not know how to separate them.
    OtherApi,
    /// `n` or `best_of` is above 1: prefill would pin the prompt's KV once for each sequence.
    Several,
    /// `use_beam_search`.
    BeamSearch,
    /// `echo`.
    Echo,
    /// Several prompts, or a list of prompts.
    Batch,
    /// `prompt_logprobs` are computed by prefill, and the client does not get the answer of a prefill leg.
    PromptLogprobs,
    /// `prompt_embeds`: the prompt is not made of tokens.
    PromptEmbeds,
    /// At most one output token is wanted, and prefill alone computes it.
    SingleToken,
    /// The client chose a data-parallel rank, which means something on one endpoint only.
    Pinned,
    /// A member has a value that the endpoint will refuse; its own error tells the client most.
    Unreadable,
}

impl WholeReason {
    /// The reason's name in headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OtherApi => "other_api",
            Self::Several => "several",
            Self::BeamSearch => "beam_search",
            Self::Echo => "echo",
            Self::Batch => "batch",
            Self::PromptLogprobs => "prompt_logprobs",
            Self::PromptEmbeds => "prompt_embeds",
            Self::SingleToken => "single_token",
            Self::Pinned => "pinned",
            Self::Unreadable => "unreadable",
        }
    }
}

/// What one request asks for, from its headers and its body.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// The model that the request names; without one, the endpoint takes its own.
    pub model: Option<String>,
    /// Whether the client wants the answer as a stream.
    pub stream: bool,
    /// Whether the client wants the usage in its stream (`stream_options.include_usage`).
    pub include_usage: bool,
    /// The phase that the request needs first.
    pub phase: Phase,
    /// Length in bytes of the value of `messages`, `prompt` or `input`, from which the prompt's tokens are estimated.
    pub prompt_bytes: usize,
    /// Offset of that value in the body, in bytes.
    pub prompt_at: usize,
    /// Tokens of a prompt that was sent as one list of token ids; `None` for text.
    pub prompt_tokens_exact: Option<u32>,
    /// The most output tokens that the client wants; `max_completion_tokens` wins over `max_tokens`.
    pub max_tokens: Option<u32>,
    /// Output tokens that the client expects, by its header.
    pub expected_output_tokens: Option<u32>,
    /// The request's priority.
    pub priority: Priority,
    /// The request's own TTFT target, by its header.
    pub ttft_target: Option<Duration>,
    /// The request's own ITL target, by its header.
    pub itl_target: Option<Duration>,
    /// The session that the request belongs to, at most 256 bytes.
    pub session: Option<String>,
    /// The stored response that the request continues (`previous_response_id`).
    pub previous_response_id: Option<String>,
    /// Why the request must be served whole; `None` if it may be handed off.
    pub whole: Option<WholeReason>,
    /// How many headers had values that were ignored.
    pub ignored_headers: u32,
    /// Where the members are that a leg's body may change.
    pub members: Members,
}

impl Analysis {
    /// The analysis of a request without a body, or with one that the router does not read: only its headers count.
    #[must_use]
    pub fn without_body(headers: &HeaderMap, rules: &HeaderRules) -> Self {
        let empty = Self {
            model: None,
            stream: false,
            include_usage: false,
            phase: Phase::Prefill,
            prompt_bytes: 0,
            prompt_at: 0,
            prompt_tokens_exact: None,
            max_tokens: None,
            expected_output_tokens: None,
            priority: Priority::default(),
            ttft_target: None,
            itl_target: None,
            session: None,
            previous_response_id: None,
            whole: Some(WholeReason::OtherApi),
            ignored_headers: 0,
            members: Members::default(),
        };
        empty.with_headers(headers, rules)
    }

    /// The same request with its headers read by these rules.
    #[must_use]
    pub fn with_headers(self, headers: &HeaderMap, rules: &HeaderRules) -> Self {
        let read = rules.read(headers);
        Self {
            expected_output_tokens: read.expected_output_tokens,
            priority: read.priority,
            ttft_target: read.ttft_target,
            itl_target: read.itl_target,
            session: read.session,
            ignored_headers: read.ignored,
            ..self
        }
    }
}
