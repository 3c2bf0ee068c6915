//! Why an endpoint did not answer.

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
    #[error("no connection within {} ms", .0.as_millis())]
    ConnectTimeout(Duration),
    /// The connection broke before the answer was complete.
    #[error("the connection broke: {0}")]
    Broken(#[source] hyper::Error),
    /// Nothing came within the time allowed.
    #[error("no answer within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The stream ended before its end was said.
    #[error("the stream ended early")]
    EndedEarly,
    /// The stream told of an error before its first token.
    #[error("the stream began with an error")]
    ErrorEvent,
    /// The stream's first bytes already say that the endpoint gave it up.
    #[error("the request was aborted")]
    Aborted,
    /// A redirect: it may point anywhere, and is not followed.
    #[error("it answered with a redirect")]
    Redirect,
    /// The answer is larger than this leg's answers may be.
    #[error("the answer is larger than {0} bytes")]
    TooLarge(usize),
}

/// Why a request was not answered on this connection.
#[derive(Debug)]
pub(crate) enum Unsent {
    /// Another connection may be tried without harm.
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
