//! What a request asks for, from its headers and one walk over its body.
//!
//! Phase: an id of an earlier message or response → decoding; no `messages` → prefill; an assistant message →
//! decoding; anything unreadable → prefill.
//!
//! Values are read as leniently as vLLM reads them (`"stream": "yes"`, `"n": 1.0`). A value that cannot be read is
//! refused only if the router must understand it. Otherwise the request is served whole by one endpoint
//! ([`WholeReason::Unreadable`]), so that the client gets that endpoint's own error. The engine takes the last of two
//! members of one name; a member that the router reads or strips may therefore appear only once, or a client could
//! make the two differ about what was asked.
//!
//! Must not know: routes, endpoints, or how a body is changed.

mod analysis;
mod body;
mod error;
mod headers;
mod lenient;
pub(crate) mod members;
mod nested;
mod prefix;

#[cfg(test)]
mod tests;

use http::HeaderMap;

pub use self::analysis::{Analysis, Api, WholeReason};
use self::body::BodyFacts;
pub use self::error::AnalyzeError;
pub use self::headers::{HeaderRules, Priority};
pub use self::members::Members;
pub use self::prefix::BLOCK_BYTES;

/// Reads a request's headers by `rules`, and its body, which must be a JSON object.
///
/// # Errors
/// The body is not a JSON object, or has members that two readers would understand differently.
pub fn analyze(
    api: Api,
    headers: &HeaderMap,
    body: &[u8],
    rules: &HeaderRules,
) -> Result<Analysis, AnalyzeError> {
    let body = BodyFacts::of(body)?;
    let pinned = headers::pins_a_rank(headers).then_some(WholeReason::Pinned);
    Ok(Analysis {
        stream: body.stream,
        include_usage: body.include_usage,
        phase: body.phase(),
        prompt_bytes: body.prompt_bytes(api),
        prompt_at: body.prompt_at,
        prompt_tokens_exact: body.prompt.tokens(),
        max_tokens: body.max_tokens(),
        whole: body.whole(api).or(pinned),
        model: body.model,
        previous_response_id: body.previous_response_id,
        members: body.members,
        ..Analysis::without_body(headers, rules)
    })
}
