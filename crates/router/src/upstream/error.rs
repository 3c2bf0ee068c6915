//! Why an endpoint did not answer, in words for clients and operators.

use std::io;
use std::time::Duration;

use thiserror::Error;

/// Why an endpoint did not answer.
#[derive(Debug, Error)]
pub(crate) enum UpstreamError {
    /// No connection could be opened.
    #[error("cannot connect: {0}")]
    Connect(#[source] io::Error),
    /// No connection within the time allowed.
    #[error("no connection within {} ms (timeouts.connectMilliseconds)", .0.as_millis())]
    ConnectTimeout(Duration),
    /// The connection broke before the answer was complete.
    #[error("the connection broke: {0}")]
    Broken(#[source] hyper::Error),
    /// Nothing came within the time allowed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The stream ended before its last event.
    #[error("the stream ended before its last event")]
    EndedEarly,
    /// An error event came before the first token.
    #[error("the stream began with an error event")]
    ErrorEvent,
    /// The endpoint gave the request up (`finish_reason: "abort"`) before its first token went on.
    #[error("the endpoint aborted the request")]
    Aborted,
    /// A redirect: it may point anywhere, and is not followed.
    #[error("the endpoint answered with a redirect, which is not followed")]
    Redirect,
    /// The answer is larger than the reader allows.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Why a request was not answered on this connection.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// The endpoint has not seen the request, or has not answered it: another connection may be tried.
    Retry(hyper::Error),
    /// The endpoint may have begun to work on it.
    Broken(hyper::Error),
}

impl From<Unsent> for UpstreamError {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Retry(error) | Unsent::Broken(error) => Self::Broken(error),
        }
    }
}

impl UpstreamError {
    /// A short name for metrics and the request's record.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Connect(_) => "connect",
            Self::ConnectTimeout(_) => "connect_timeout",
            Self::Broken(_) => "broken",
            Self::Timeout(_) => "timeout",
            Self::EndedEarly => "ended_early",
            Self::ErrorEvent => "error_event",
            Self::Aborted => "aborted",
            Self::Redirect => "redirect",
            Self::TooLarge(_) => "answer_too_large",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_name_the_limit_that_was_met() {
        let ms = Duration::from_millis;
        for (error, message) in [
            (
                UpstreamError::ConnectTimeout(ms(250)),
                "no connection within 250 ms (timeouts.connectMilliseconds)",
            ),
            (UpstreamError::Timeout(ms(1500)), "no answer within 1.5 s"),
            (UpstreamError::TooLarge(7), "the answer is larger than 7 bytes"),
        ] {
            assert_eq!(error.to_string(), message);
        }
    }
}
