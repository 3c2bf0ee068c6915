//! The query that a page gets, and the answer that it gives.

use std::str::FromStr;

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue};
use http::{Response, StatusCode};
use http_body_util::Full;
use serde::Serialize;

/// The parameters of a query string, decoded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query(Vec<(String, String)>);

impl Query {
    /// Parses a query string; without one there are no parameters.
    #[must_use]
    pub fn new(query: Option<&str>) -> Self {
        Self(form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect())
    }

    /// The first value of `name`.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The first value of `name` as a `T`; `None` where it is missing or does not parse.
    #[must_use]
    pub fn parsed<T: FromStr>(&self, name: &str) -> Option<T> {
        self.get(name)?.parse().ok()
    }
}

/// An answer of the admin port.
#[derive(Clone, Debug)]
pub struct AdminResponse {
    status: StatusCode,
    content_type: &'static str,
    body: Bytes,
}

impl AdminResponse {
    /// 200 with `value` as JSON; 500 where it cannot be serialized.
    #[must_use]
    pub fn json(value: &impl Serialize) -> Self {
        Self::json_with(StatusCode::OK, value)
    }

    /// 200 with plain text.
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Self::ok("text/plain; charset=utf-8", text.into())
    }

    /// `status` with `{"error": message}`.
    #[must_use]
    pub fn error(status: StatusCode, message: &str) -> Self {
        Self::json_with(status, &serde_json::json!({ "error": message }))
    }

    pub(super) fn ok(content_type: &'static str, text: String) -> Self {
        Self { status: StatusCode::OK, content_type, body: text.into() }
    }

    pub(super) fn json_with(status: StatusCode, value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(body) => Self { status, content_type: "application/json", body: body.into() },
            Err(error) => {
                tracing::error!(%error, "cannot serialize an admin page");
                let status = StatusCode::INTERNAL_SERVER_ERROR;
                let body = Bytes::from_static(
                    br#"{"error":"the page cannot be serialized: see the log"}"#,
                );
                Self { status, content_type: "application/json", body }
            }
        }
    }

    pub(super) fn into_http(self) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::new(self.body));
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(self.content_type));
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        response
    }
}
