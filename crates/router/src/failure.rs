//! What can go wrong with a request: each failure with its message, its status and how it is counted. How a failure
//! is written as an answer is not known here.

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

/// How long a client that was refused for load is asked to wait, where no estimate is known: the shortest time that
/// `Retry-After` can say. Half cannot be said; double leaves freed places empty for longer.
pub(crate) const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The kind of a failure, in metrics and records, of what the router ended because its drain's deadline had passed.
pub(crate) const DRAIN_DEADLINE: &str = "drain_deadline";

/// Why a request is not answered as asked.
#[derive(Debug, Error)]
pub(crate) enum Failure {
    #[error("{0}")]
    Body(#[from] AnalyzeError),
    #[error("{0}")]
    Form(#[from] FormError),
    #[error("request-body memory is exhausted (--body-memory-mib); retry later")]
    BodyMemory,
    #[error("reading the request body failed: {0}")]
    BodyUnreadable(#[source] hyper::Error),
    #[error("the request body did not arrive within {0} s")]
    BodyTimeout(u64),
    #[error("the request body is larger than {0} bytes (limits.maxBodyBytes)")]
    BodyTooLarge(u64),
    #[error("the request head is larger than {0} bytes")]
    HeadTooLarge(usize),
    #[error("the request URI is longer than {0} bytes")]
    UriTooLong(usize),
    #[error("unknown path `{0}`; check the URL")]
    UnknownPath(String),
    #[error("{method} is not allowed on `{path}`")]
    MethodNotAllowed { method: http::Method, path: String },
    #[error("the model `{model}` does not exist; available models: {known}")]
    UnknownModel { model: String, known: String },
    #[error("the request has no `model`; available models: {known}")]
    NoModel { known: String },
    #[error("the router is starting and has no configuration yet; retry later")]
    NotConfigured,
    #[error(
        "route `{route}` already has {limit} requests in flight (limits.maxInFlight); retry later"
    )]
    TooManyInFlight { route: String, limit: u32 },
    #[error(
        "route `{route}` is at capacity and {limit} requests are queued ahead of this one (limits.maxQueued); retry in {} s, or add endpoints",
        whole_seconds(*retry_after)
    )]
    QueueFull { route: String, limit: u32, retry_after: Duration },
    #[error(
        "route `{route}` cannot meet the TTFT target of this request (slo.ttftMilliseconds, x-sla-target-ms) and rejects such requests (slo.onUnattainable); retry in {} s, or raise the target",
        whole_seconds(*retry_after)
    )]
    Unattainable { route: String, retry_after: Duration },
    #[error(
        "route `{route}` has no endpoint for this request; check that its pods are ready, match its selector and serve the model"
    )]
    NoEndpoint { route: String },
    #[error("route `{route}`: {} on `{endpoint}` failed: {error}; check that server's log", phase.as_str())]
    Upstream { route: String, phase: Phase, endpoint: String, error: UpstreamError },
    #[error("route `{route}`: {} on `{endpoint}` returned {}", phase.as_str(), answer.status)]
    Answered { route: String, phase: Phase, endpoint: String, answer: Box<Answer> },
    #[error("no endpoint has the stored response")]
    NoStoredResponse,
    #[error("the router is shutting down (--drain-seconds); retry on another one")]
    DrainDeadline,
    #[error("nothing passed through the tunnel for {} s (timeouts.idleSeconds)", .0.as_secs())]
    TunnelIdle(Duration),
    #[error("the protocol upgrade failed: {0}")]
    Upgrade(String),
}

/// An endpoint's own answer with an error, kept to be passed on if no other endpoint does better.
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
    /// The HTTP status that stands for it.
    pub(crate) fn status(&self) -> StatusCode {
        match self {
            Self::Body(AnalyzeError::TooLarge(_)) | Self::BodyTooLarge(_) => {
                StatusCode::PAYLOAD_TOO_LARGE
            }
            Self::Body(_) | Self::Form(_) | Self::BodyUnreadable(_) | Self::NoModel { .. } => {
                StatusCode::BAD_REQUEST
            }
            Self::BodyTimeout(_) => StatusCode::REQUEST_TIMEOUT,
            Self::HeadTooLarge(_) => StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
            Self::UriTooLong(_) => StatusCode::URI_TOO_LONG,
            Self::UnknownPath(_) | Self::UnknownModel { .. } | Self::NoStoredResponse => {
                StatusCode::NOT_FOUND
            }
            Self::MethodNotAllowed { .. } => StatusCode::METHOD_NOT_ALLOWED,
            Self::TooManyInFlight { .. } | Self::QueueFull { .. } | Self::Unattainable { .. } => {
                StatusCode::TOO_MANY_REQUESTS
            }
            Self::DrainDeadline
            | Self::NotConfigured
            | Self::BodyMemory
            | Self::NoEndpoint { .. } => StatusCode::SERVICE_UNAVAILABLE,
            Self::Upstream { error: UpstreamError::Timeout(_), .. } | Self::TunnelIdle(_) => {
                StatusCode::GATEWAY_TIMEOUT
            }
            Self::Upstream { .. } | Self::Upgrade(_) => StatusCode::BAD_GATEWAY,
            Self::Answered { answer, .. } => answer.status,
        }
    }

    /// How the request is counted in metrics.
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
            Self::HeadTooLarge(_) => "head_too_large",
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
            Self::DrainDeadline => DRAIN_DEADLINE,
            Self::TunnelIdle(_) => "idle",
            Self::Upgrade(_) => "upgrade",
        }
    }

    /// The phase in which an endpoint failed; `None` if no endpoint did.
    pub(crate) const fn phase(&self) -> Option<Phase> {
        match self {
            Self::Upstream { phase, .. } | Self::Answered { phase, .. } => Some(*phase),
            _ => None,
        }
    }

    /// The route of the request, where the failure is the route's.
    pub(crate) fn route(&self) -> Option<&str> {
        match self {
            Self::TooManyInFlight { route, .. }
            | Self::QueueFull { route, .. }
            | Self::Unattainable { route, .. }
            | Self::NoEndpoint { route }
            | Self::Upstream { route, .. }
            | Self::Answered { route, .. } => Some(route),
            _ => None,
        }
    }

    /// The member of the request's body that is wrong.
    pub(crate) fn param(&self) -> Option<&str> {
        match self {
            Self::Body(error) => error.param(),
            Self::UnknownModel { .. } | Self::NoModel { .. } => Some("model"),
            _ => None,
        }
    }
}

/// A time in whole seconds, rounded up: a client that came back sooner would be refused again.
pub(crate) fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests;
