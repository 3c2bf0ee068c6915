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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;
    use std::time::Duration;

    use super::*;
    use crate::upstream::error::UpstreamError;

    #[test]
    fn every_kind_of_failed_attempt_is_documented() {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/operations.md");
        let text = std::fs::read_to_string(path).expect("the document");
        let row = text.lines().find(|line| line.starts_with("| `qoe_failures_total`"));
        let (_, listed) = row.and_then(|row| row.split_once("failed attempts: ")).expect("a row");
        let documented: BTreeSet<_> = listed.split('`').skip(1).step_by(2).collect();
        let relay = [
            RelayError::Broken,
            RelayError::Idle,
            RelayError::EndedEarly,
            RelayError::Aborted,
            RelayError::ErrorEvent,
        ];
        let upstream = [
            UpstreamError::Connect(std::io::ErrorKind::ConnectionRefused.into()),
            UpstreamError::ConnectTimeout(Duration::ZERO),
            UpstreamError::Timeout(Duration::ZERO),
            UpstreamError::EndedEarly,
            UpstreamError::ErrorEvent,
            UpstreamError::Aborted,
            UpstreamError::Redirect,
            UpstreamError::TooLarge(0),
        ];
        let mut kinds: BTreeSet<_> = relay.map(RelayError::kind).into();
        kinds.extend(upstream.iter().map(UpstreamError::kind));
        // An endpoint's own answer, which is no error of the connection.
        kinds.insert("answered_error");
        assert_eq!(documented, kinds);
    }
}
