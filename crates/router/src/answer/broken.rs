//! An answer that breaks off after its head was sent.

use bytes::Bytes;
use thiserror::Error;

use crate::failure::DRAIN_DEADLINE;

/// Why an answer broke off after its head was sent. The client sees a stream's `error` event, or, where bytes were
/// counted or framed, a connection that breaks: never a clean end.
#[derive(Clone, Copy, Debug, Error)]
pub(crate) enum RelayError {
    #[error("the endpoint's connection broke")]
    Broken,
    #[error("the endpoint sent nothing for too long")]
    Idle,
    #[error("the endpoint ended the stream without saying so")]
    EndedEarly,
    #[error("the endpoint aborted the request")]
    Aborted,
    #[error("the router is shutting down, and the answer did not end within its drain")]
    DrainDeadline,
}

impl RelayError {
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::EndedEarly => "ended_early",
            Self::Aborted => "aborted",
            Self::DrainDeadline => DRAIN_DEADLINE,
        }
    }

    /// The event that ends a stream which cannot go on.
    pub(crate) fn event(self, route: &str, half_a_line: bool) -> Bytes {
        let error = serde_json::json!({"error": {
            "message": format!("route `{route}`: decoding broke off: {self}; the answer is incomplete"),
            "type": "InternalServerError",
            "param": null,
            "code": 502,
            "route": route,
            "phase": "decoding",
        }});
        let begin = if half_a_line { "\n\n" } else { "" };
        format!("{begin}data: {error}\n\n").into()
    }
}
