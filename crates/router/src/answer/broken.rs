//! An answer that breaks off after its head was sent.

use bytes::Bytes;
use thiserror::Error;

use crate::failure::DRAIN_DEADLINE;

/// Why an answer broke off after its head was sent. The client sees a stream's `error` event, or, where bytes were
/// counted or framed, a connection that breaks: never a clean end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub(crate) enum RelayError {
    #[error("the connection to the endpoint broke")]
    Broken,
    #[error("the endpoint sent nothing for too long (timeouts.idleSeconds)")]
    Idle,
    #[error("the endpoint ended the stream before its last event")]
    EndedEarly,
    #[error("the endpoint aborted the request")]
    Aborted,
    /// The client got the endpoint's own error event.
    #[error("the endpoint reported an error")]
    ErrorEvent,
    #[error("the router is shutting down, and the answer did not end within its drain")]
    DrainDeadline,
}

impl RelayError {
    /// A short name for metrics and the request's record.
    pub(crate) const fn kind(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Idle => "idle",
            Self::EndedEarly => "ended_early",
            Self::Aborted => "aborted",
            Self::ErrorEvent => "error_event",
            Self::DrainDeadline => DRAIN_DEADLINE,
        }
    }

    /// The event that ends a stream which cannot go on. It begins with the end of whatever line and event the client
    /// may have got in part; empty lines between events mean nothing.
    pub(super) fn event(self, route: &str) -> Bytes {
        let error = serde_json::json!({"error": {
            "message": format!("route `{route}`: decoding broke off: {self}; the answer is incomplete"),
            "type": "InternalServerError",
            "param": null,
            "code": 502,
            "route": route,
            "phase": "decoding",
        }});
        format!("\n\ndata: {error}\n\n").into()
    }
}
