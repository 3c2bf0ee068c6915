//! The one place that renders a failure as an HTTP answer.

use std::time::Duration;

use http::header::{self, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use qoe_core::phase::Phase;
use serde::Serialize;

use crate::answer::reply::Reply;
use crate::failure::{Failure, RETRY_AFTER, whole_seconds};

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

    /// How long a client that is refused for load is asked to wait.
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::routes::no_route::{KnownModels, NoRoute};
    use crate::upstream::error::UpstreamError;

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
        let known: KnownModels = ["b", "a"].into_iter().collect();
        let unknown = NoRoute::UnknownModel { model: "x".into(), known: known.into() };
        let error = &json(&unknown.into())["error"];
        assert_eq!(error["message"], "the model `x` does not exist; available models: a, b");
        assert_eq!(error["param"], "model");
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
            "route `llama` is at capacity and 9 requests are queued ahead of this one (limits.maxQueued); \
             retry in 7 s, or add endpoints"
        );
        assert_eq!(shed.into_response().headers()[header::RETRY_AFTER], "7");
    }

    #[test]
    fn an_endpoints_own_error_is_passed_on_as_it_is() {
        for (status, own, retry_after) in [
            (StatusCode::NOT_FOUND, None, None),
            (StatusCode::TOO_MANY_REQUESTS, None, Some("1")),
            (StatusCode::TOO_MANY_REQUESTS, Some("30"), Some("30")),
            (StatusCode::SERVICE_UNAVAILABLE, None, Some("1")),
        ] {
            let mut headers = http::HeaderMap::new();
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
            headers.extend(own.map(|own| (header::RETRY_AFTER, HeaderValue::from_static(own))));
            let answer = Box::new(crate::failure::Answer { status, headers, body: "full".into() });
            let (route, endpoint) = ("llama".to_owned(), "d0".to_owned());
            let phase = Phase::Decoding;
            let response = Failure::Answered { route, phase, endpoint, answer }.into_response();
            assert_eq!(response.status(), status);
            assert_eq!(response.headers()[CONTENT_TYPE], "text/plain");
            let retry = response.headers().get(header::RETRY_AFTER);
            assert_eq!(retry.and_then(|value| value.to_str().ok()), retry_after, "{status}");
            assert!(matches!(response.body(), Reply::Full(Some(body)) if body == "full"));
        }
    }
}
