//! What can go wrong with a request, and the one place that turns it into an answer.

use std::time::Duration;

use bytes::Bytes;
use http::header::{self, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use qoe_core::flight::track::Outcome;
use qoe_core::phase::Phase;
use qoe_core::request::analyze::AnalyzeError;
use serde::Serialize;
use thiserror::Error;

use crate::answer::reply::Reply;
use crate::upstream::connection::UpstreamError;
use qoe_core::request::multipart::FormError;

/// Known model names that a 404 lists.
const NAMED_MODELS: usize = 20;
/// What a client that was refused for load is asked to wait, where nothing better is known.
const RETRY_AFTER: Duration = Duration::from_secs(1);

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

/// The list of known models for an error, cut to a readable length.
pub(crate) fn known_models<'a>(models: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<_> = models.collect();
    names.sort_unstable();
    names.dedup();
    let more = names.len().saturating_sub(NAMED_MODELS);
    names.truncate(NAMED_MODELS);
    match (names.is_empty(), more) {
        (true, _) => "none yet".to_owned(),
        (_, 0) => names.join(", "),
        (_, more) => format!("{} and {more} more", names.join(", ")),
    }
}

#[derive(Serialize)]
struct ErrorBody<'a> {
    error: ErrorObject<'a>,
}

/// OpenAI's error object, with the route and phase beside.
#[derive(Serialize)]
struct ErrorObject<'a> {
    message: String,
    r#type: &'a str,
    param: Option<&'a str>,
    code: u16,
    #[serde(skip_serializing_if = "Option::is_none")]
    route: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    phase: Option<Phase>,
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

    fn route(&self) -> Option<&str> {
        match self {
            Self::TooManyInFlight { route, .. }
            | Self::QueueFull { route, .. }
            | Self::Unattainable { route, .. }
            | Self::NoEndpoint { route }
            | Self::Upstream { route, .. } => Some(route),
            _ => None,
        }
    }

    fn param(&self) -> Option<&str> {
        match self {
            Self::Body(error) => error.param(),
            Self::UnknownModel { .. } | Self::NoModel { .. } => Some("model"),
            _ => None,
        }
    }

    /// The error as OpenAI's JSON object.
    pub(crate) fn json(&self) -> Vec<u8> {
        let status = self.status();
        let kind = match status {
            StatusCode::NOT_FOUND => "NotFoundError",
            StatusCode::TOO_MANY_REQUESTS => "RateLimitError",
            StatusCode::REQUEST_TIMEOUT | StatusCode::GATEWAY_TIMEOUT => "TimeoutError",
            status if status.is_client_error() => "BadRequestError",
            StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailableError",
            _ => "InternalServerError",
        };
        let error = ErrorObject {
            message: self.to_string(),
            r#type: kind,
            param: self.param(),
            code: status.as_u16(),
            route: self.route(),
            phase: self.phase(),
        };
        serde_json::to_vec(&ErrorBody { error }).expect("strings and numbers always serialize")
    }

    /// What a client that is refused for load is asked to wait.
    const fn retry_after(&self) -> Duration {
        match self {
            Self::QueueFull { retry_after, .. } | Self::Unattainable { retry_after, .. } => {
                *retry_after
            }
            _ => RETRY_AFTER,
        }
    }

    /// The answer to the client.
    pub(crate) fn into_response(self) -> Response<Reply> {
        let status = self.status();
        let retry_after = self.retry_after();
        let mut response = match self {
            Self::Answered { answer, .. } => {
                let mut response = Response::new(Reply::full(answer.body));
                *response.headers_mut() = answer.headers;
                response
            }
            failure => {
                let mut response = Response::new(Reply::full(failure.json().into()));
                let json = HeaderValue::from_static("application/json");
                response.headers_mut().insert(CONTENT_TYPE, json);
                response
            }
        };
        *response.status_mut() = status;
        if matches!(status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE) {
            let wait = HeaderValue::from(whole_seconds(retry_after));
            response.headers_mut().entry(header::RETRY_AFTER).or_insert(wait);
        }
        response
    }
}

/// Rounded up: who comes back sooner would be refused again.
fn whole_seconds(time: Duration) -> u64 {
    time.as_secs() + u64::from(time.subsec_nanos() > 0)
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

    fn json(failure: &Failure) -> serde_json::Value {
        serde_json::from_slice(&failure.json()).expect("JSON")
    }

    #[test]
    fn errors_have_openais_shape_with_route_and_phase() {
        let failure = Failure::Upstream {
            route: "llama".into(),
            phase: Phase::Decoding,
            endpoint: "d0".into(),
            error: UpstreamError::Timeout(std::time::Duration::from_secs(2)),
        };
        let error = &json(&failure)["error"];
        assert_eq!(failure.status(), StatusCode::GATEWAY_TIMEOUT);
        assert_eq!(
            error["message"],
            "route `llama`: decoding on `d0` failed: no answer within 2 s; check that server's log"
        );
        assert_eq!((&error["route"], &error["phase"]), (&"llama".into(), &"decoding".into()));
        assert_eq!((&error["type"], &error["code"]), (&"TimeoutError".into(), &504.into()));
    }

    #[test]
    fn an_unknown_model_names_the_known_ones() {
        let known = known_models(["b", "a", "b"].into_iter());
        let error = &json(&Failure::UnknownModel { model: "x".into(), known })["error"];
        assert_eq!(error["message"], "the model `x` does not exist; known are: a, b");
        assert_eq!(error["param"], "model");
        let many: Vec<_> = (0..30).map(|i| format!("m{i:02}")).collect();
        assert!(known_models(many.iter().map(String::as_str)).ends_with("m19 and 10 more"));
    }

    #[test]
    fn refusals_for_load_say_when_to_come_back() {
        let refused = Failure::TooManyInFlight { route: "llama".into(), limit: 3 }.into_response();
        assert_eq!(refused.status(), StatusCode::TOO_MANY_REQUESTS);
        assert_eq!(refused.headers()[header::RETRY_AFTER], "1");
        let retry_after = Duration::from_millis(6200);
        let shed = Failure::QueueFull { route: "llama".into(), limit: 9, retry_after };
        let error = &json(&shed)["error"];
        assert_eq!((&error["type"], &error["route"]), (&"RateLimitError".into(), &"llama".into()));
        assert_eq!(
            error["message"],
            "route `llama` has no room, and 9 requests that go first wait already (limits.maxQueued); \
             try again in 7 s, or add endpoints"
        );
        assert_eq!(shed.into_response().headers()[header::RETRY_AFTER], "7");
    }
}
