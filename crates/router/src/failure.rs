//! What can go wrong with a request, and the one place that turns it into an answer.

use std::time::Duration;

use bytes::Bytes;
use http::StatusCode;
use qoe_core::flight::timings::Outcome;
use qoe_core::phase::Phase;
use qoe_core::request::analyze::AnalyzeError;
use qoe_core::request::multipart::FormError;
use thiserror::Error;

use crate::routes::no_route::NoRoute;
use crate::upstream::error::UpstreamError;

/// What a client that was refused for load is asked to wait, where nothing better is known.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Why a request is not answered as asked.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Body(#[from] AnalyzeError),
    #[error("{0}")]
    Form(#[from] FormError),
    #[error("bodies of requests hold all the memory they may (--body-memory-mib); try again")]
    BodyMemory,
    #[error("the request's body could not be read: {0}")]
    BodyUnreadable(#[source] hyper::Error),
    #[error("the request's body did not come within {0} s")]
    BodyTimeout(u64),
    #[error("the body is larger than the {0} bytes that are allowed (limits.maxBodyBytes)")]
    BodyTooLarge(u64),
    #[error("the URI is longer than {0} bytes")]
    UriTooLong(usize),
    #[error("there is no `{0}` here")]
    UnknownPath(String),
    #[error("{method} is not allowed on `{path}`")]
    MethodNotAllowed { method: http::Method, path: String },
    #[error("the model `{model}` does not exist; known are: {known}")]
    UnknownModel { model: String, known: String },
    #[error("name the `model`; known are: {known}")]
    NoModel { known: String },
    #[error("no configuration yet: the router is starting")]
    NotConfigured,
    #[error(
        "route `{route}` has {limit} requests in flight, as many as it may (limits.maxInFlight)"
    )]
    TooManyInFlight { route: String, limit: u32 },
    #[error(
        "route `{route}` has no room, and {limit} requests that go first wait already (limits.maxQueued); try again in {} s, or add endpoints",
        whole_seconds(*retry_after)
    )]
    QueueFull { route: String, limit: u32, retry_after: Duration },
    #[error(
        "route `{route}` cannot give this request its first token in time (slo.ttftMilliseconds, x-sla-target-ms) and refuses such requests (slo.onUnattainable); try again in {} s, or ask for a later one",
        whole_seconds(*retry_after)
    )]
    Unattainable { route: String, retry_after: Duration },
    #[error(
        "route `{route}` has no endpoint for this request: check that its pods are ready, selected, and serve the model"
    )]
    NoEndpoint { route: String },
    #[error("route `{route}`: {} on `{endpoint}` failed: {error}; check that server's log", phase.as_str())]
    Upstream { route: String, phase: Phase, endpoint: String, error: UpstreamError },
    #[error("route `{route}`: {} on `{endpoint}` answered {}", phase.as_str(), answer.status)]
    Answered { route: String, phase: Phase, endpoint: String, answer: Box<Answer> },
    #[error("the stored response is not on any endpoint")]
    NoStoredResponse,
    #[error("the upgrade failed: {0}")]
    Upgrade(String),
}

/// An endpoint's own answer, kept to be passed on if nothing better comes.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: http::HeaderMap,
    pub(crate) body: Bytes,
}

impl From<NoRoute> for Failure {
    fn from(no_route: NoRoute) -> Self {
        match no_route {
            NoRoute::NotConfigured => Self::NotConfigured,
            NoRoute::ModelMissing { known } => Self::NoModel { known: known.to_string() },
            NoRoute::UnknownModel { model, known } => {
                Self::UnknownModel { model: shortened(&model), known: known.to_string() }
            }
        }
    }
}

/// A client's model name for an error message, cut where it is longer than names are.
fn shortened(model: &str) -> String {
    const MAX_CHARS: usize = 200;
    match model.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => format!("{}…", &model[..end]),
        None => model.to_owned(),
    }
}

impl Failure {
    /// The answer's status.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Body(AnalyzeError::TooLarge(_)) | Self::BodyTooLarge(_) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Body(_) | Self::Form(_) | Self::BodyUnreadable(_) | Self::NoModel { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::UriTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::UnknownPath(_) | Self::UnknownModel { .. } | Self::NoStoredResponse => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyInFlight { .. } | Self::QueueFull { .. } | Self::Unattainable { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::NotConfigured | Self::BodyMemory | Self::NoEndpoint { .. } => {
                StatusCode::SERVICE_UNAVAILABLE
            }
            Self::Upstream { error: UpstreamError::Timeout(_), .. } => StatusCode::GATEWAY_TIMEOUT,
            Self::Upstream { .. } | Self::Upgrade(_) => StatusCode::BAD_GATEWAY,
            Self::Answered { answer, .. } => answer.status,
        }
    }

    /// How the request is counted.
    pub(crate) fn outcome(&self) -> Outcome {
        match self.status() {
            StatusCode::TOO_MANY_REQUESTS => Outcome::Rejected,
            status if status.is_client_error() => Outcome::ClientError,
            _ => Outcome::Failure,
        }
    }

    /// A short name for metrics and the request's record.
    pub(crate) const fn kind(&self) -> &'static str {
        match self {
            Self::Body(_) | Self::Form(_) => "bad_body",
            Self::BodyMemory => "body_memory",
            Self::BodyUnreadable(_) => "body_unreadable",
            Self::BodyTimeout(_) => "body_timeout",
            Self::BodyTooLarge(_) => "body_too_large",
            Self::UriTooLong(_) => "uri_too_long",
            Self::UnknownPath(_) => "unknown_path",
            Self::MethodNotAllowed { .. } => "method_not_allowed",
            Self::UnknownModel { .. } => "unknown_model",
            Self::NoModel { .. } => "no_model",
            Self::NotConfigured => "not_configured",
            Self::TooManyInFlight { .. } => "too_many_in_flight",
            Self::QueueFull { .. } => "queue_full",
            Self::Unattainable { .. } => "unattainable",
            Self::NoEndpoint { .. } => "no_endpoint",
            Self::Upstream { error, .. } => error.kind(),
            Self::Answered { .. } => "answered_error",
            Self::NoStoredResponse => "no_stored_response",
            Self::Upgrade(_) => "upgrade",
        }
    }

    /// The phase it happened in, if it happened at an endpoint.
    pub(crate) const fn phase(&self) -> Option<Phase> {
        match self {
            Self::Upstream { phase, .. } | Self::Answered { phase, .. } => Some(*phase),
            _ => None,
        }
    }

    /// The route it happened on, if that was known.
    pub(crate) fn route(&self) -> Option<&str> {
        match self {
            Self::TooManyInFlight { route, .. }
            | Self::QueueFull { route, .. }
            | Self::Unattainable { route, .. }
            | Self::NoEndpoint { route }
            | Self::Upstream { route, .. } => Some(route),
            _ => None,
        }
    }

    /// The member of the request that it is about.
    pub(crate) fn param(&self) -> Option<&str> {
        match self {
            Self::Body(error) => error.param(),
            Self::UnknownModel { .. } | Self::NoModel { .. } => Some("model"),
            _ => None,
        }
    }
}

/// Rounded up: who comes back sooner would be refused again.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}
