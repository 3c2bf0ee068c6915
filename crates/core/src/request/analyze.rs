//! What a request is and needs, from its headers and one walk over its body. Pure.
//!
//! Phase: an id of an earlier message or response → decoding; no `messages` → prefill; an assistant message →
//! decoding; anything unreadable → prefill.
//!
//! Values are read as leniently as vLLM reads them (`"stream": "yes"`, `"n": 1.0`). What cannot be read is not
//! refused here, unless the router must understand it: the request is then served whole by one endpoint
//! ([`WholeReason::Unreadable`]), so that the client gets that endpoint's own words. The engine takes the last of two
//! members of one name; a member that the router reads or strips may therefore appear only once, or the two could be
//! made to differ about what was asked.

mod body;
mod headers;
mod lenient;
mod members;
mod nested;
mod prefix;

#[cfg(test)]
mod tests;

use std::time::Duration;

use thiserror::Error;

use self::body::Reading;
pub use self::headers::{HeaderRules, Priority};
pub use self::members::Members;
pub(crate) use self::members::{Name, Spot};
pub use self::prefix::BLOCK_BYTES;
use crate::json::JsonError;
use crate::phase::Phase;

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
    /// The API has no two phases, or none that can be told apart.
    OtherApi,
    /// `n` or `best_of` above 1: prefill would pin the prompt's KV once for each.
    Several,
    /// `use_beam_search`.
    BeamSearch,
    /// `echo`.
    Echo,
    /// Several prompts, or a list of prompts.
    Batch,
    /// `prompt_logprobs`: made by prefill, whose answer is not the client's.
    PromptLogprobs,
    /// `prompt_embeds`: a prompt that is no tokens.
    PromptEmbeds,
    /// At most one token is wanted: prefill alone gives it.
    SingleToken,
    /// The client chose a data-parallel rank, which means something on one endpoint only.
    Pinned,
    /// A member has a value that the endpoint will refuse; it says so best itself.
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

/// What one request is and needs.
#[derive(Clone, Debug, PartialEq)]
pub struct Analysis {
    /// The model asked for; without one, the endpoint takes its own.
    pub model: Option<String>,
    /// The answer is a stream.
    pub stream: bool,
    /// `stream_options.include_usage`
    pub include_usage: bool,
    /// What the request needs first.
    pub phase: Phase,
    /// Bytes of the value of `messages`, `prompt` or `input`: what there is to know about the prompt's length.
    pub prompt_bytes: usize,
    /// Where that value begins.
    pub prompt_at: usize,
    /// Tokens of a prompt that was sent as one list of token ids.
    pub prompt_tokens_exact: Option<u32>,
    /// Most tokens the client wants; `max_completion_tokens` wins over `max_tokens`.
    pub max_tokens: Option<u32>,
    /// Tokens the client expects.
    pub expected_output_tokens: Option<u32>,
    /// How urgent the request is.
    pub priority: Priority,
    /// TTFT promised to this request.
    pub ttft_target: Option<Duration>,
    /// ITL promised to this request.
    pub itl_target: Option<Duration>,
    /// The session it belongs to, at most 256 bytes.
    pub session: Option<String>,
    /// The response it goes on from.
    pub previous_response_id: Option<String>,
    /// Why it must be served whole; `None`: it may be handed off.
    pub whole: Option<WholeReason>,
    /// Headers with values that were ignored.
    pub ignored_headers: u32,
    /// Where `splice` cuts.
    pub members: Members,
}

/// Why a body is refused. All of these are the client's: 400.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum AnalyzeError {
    /// Not a JSON object.
    #[error("body is not a JSON object: {0}")]
    Body(#[from] JsonError),
    /// 4 GiB or more.
    #[error("body is too large: {0} bytes")]
    TooLarge(usize),
    /// A member that the router reads or strips is there twice.
    #[error("body has `{member}` twice, again at byte {at}: send it once")]
    Duplicate {
        /// The member.
        member: &'static str,
        /// Offset of the second.
        at: usize,
    },
    /// A member has a value of another type.
    #[error("`{member}` must be {expected}, at byte {at}")]
    WrongType {
        /// The member.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
        /// Offset of the value.
        at: usize,
    },
    /// Transfer parameters where the engine would take them for the router's.
    #[error(
        "`{member}` must not hold `{key}`, at byte {at}: transfer parameters are the router's to set"
    )]
    Reserved {
        /// The member.
        member: &'static str,
        /// What is inside it.
        key: &'static str,
        /// Offset of the latter.
        at: usize,
    },
    /// More members to strip than any client has a reason to send.
    #[error("body has too many `bootstrap_*` members, at byte {at}: leave them out")]
    TooManyStripped {
        /// Offset of the first one too many.
        at: usize,
    },
}

impl AnalyzeError {
    /// The member at fault: `param` of an OpenAI-shaped error.
    #[must_use]
    pub const fn param(&self) -> Option<&'static str> {
        match self {
            Self::Duplicate { member, .. }
            | Self::WrongType { member, .. }
            | Self::Reserved { member, .. } => Some(member),
            Self::Body(_) | Self::TooLarge(_) | Self::TooManyStripped { .. } => None,
        }
    }
}

/// Reads a request's headers by `rules`, and its body, which must be a JSON object.
///
/// # Errors
/// The body is not a JSON object, or has members that two readers would understand differently.
pub fn analyze(
    api: Api,
    headers: &http::HeaderMap,
    body: &[u8],
    rules: &HeaderRules,
) -> Result<Analysis, AnalyzeError> {
    let asked = rules.read(headers);
    let reading = Reading::of(body)?;
    let whole = reading.whole(api).or(asked.pinned.then_some(WholeReason::Pinned));
    Ok(Analysis {
        stream: reading.stream,
        include_usage: reading.include_usage,
        phase: reading.phase(),
        prompt_bytes: reading.prompt_bytes(api),
        prompt_at: reading.prompt_at,
        prompt_tokens_exact: reading.prompt.tokens(),
        max_tokens: reading.max_tokens(),
        expected_output_tokens: asked.expected_output_tokens,
        priority: asked.priority,
        ttft_target: asked.ttft_target,
        itl_target: asked.itl_target,
        session: asked.session,
        whole,
        ignored_headers: asked.ignored,
        model: reading.model,
        previous_response_id: reading.previous_response_id,
        members: reading.members,
    })
}

impl Analysis {
    /// The same request with its headers read by other rules.
    #[must_use]
    pub fn with_headers(self, headers: &http::HeaderMap, rules: &HeaderRules) -> Self {
        let asked = rules.read(headers);
        Self {
            expected_output_tokens: asked.expected_output_tokens,
            priority: asked.priority,
            ttft_target: asked.ttft_target,
            itl_target: asked.itl_target,
            session: asked.session,
            ignored_headers: asked.ignored,
            ..self
        }
    }

    /// The analysis of a request whose body is none, or none that is read here: only its headers say something.
    #[must_use]
    pub fn without_body(headers: &http::HeaderMap, rules: &HeaderRules) -> Self {
        let asked = rules.read(headers);
        Self {
            model: None,
            stream: false,
            include_usage: false,
            phase: Phase::Prefill,
            prompt_bytes: 0,
            prompt_at: 0,
            prompt_tokens_exact: None,
            max_tokens: None,
            expected_output_tokens: asked.expected_output_tokens,
            priority: asked.priority,
            ttft_target: asked.ttft_target,
            itl_target: asked.itl_target,
            session: asked.session,
            previous_response_id: None,
            whole: Some(WholeReason::OtherApi),
            ignored_headers: asked.ignored,
            members: Members::default(),
        }
    }
}
