//! Errors with vLLM's texts.

use http::StatusCode;
use serde_json::json;

/// An error answer: a status and OpenAI's error object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    message: String,
    kind: &'static str,
    param: Option<String>,
}

impl ApiError {
    fn new(status: StatusCode, kind: &'static str, message: impl Into<String>) -> Self {
        Self { status, message: message.into(), kind, param: None }
    }

    fn about(mut self, param: impl Into<String>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// The body is not JSON. `at` is the offset of the first invalid byte.
    pub(crate) fn bad_json(at: usize) -> Self {
        let message = format!(
            "1 validation error:\n  {{'type': 'json_invalid', 'loc': 'body.{at}', 'msg': 'JSON \
             decode error', 'input': '<dict of 0 items>', 'ctx': {{'error': 'Expecting value'}}}}"
        );
        Self::new(StatusCode::BAD_REQUEST, "Bad Request", message).about(format!("body.{at}"))
    }

    /// A member of the body is missing or has the wrong type. `input` describes the value found.
    pub(crate) fn bad_member(name: &str, kind: &str, what: &str, input: &str) -> Self {
        let message = format!(
            "1 validation error:\n  {{'type': '{kind}', 'loc': 'body.{name}', 'msg': '{what}', \
             'input': '{input}'}}"
        );
        Self::new(StatusCode::BAD_REQUEST, "Bad Request", message).about(format!("body.{name}"))
    }

    /// A required member is missing. `input` describes the body.
    pub(crate) fn missing(name: &str, input: &str) -> Self {
        Self::bad_member(name, "missing", "Field required", input)
    }

    /// A parameter has an unsupported value.
    pub(crate) fn bad_value(param: &str, value: impl std::fmt::Display, what: &str) -> Self {
        let message = format!("{what} (parameter={param}, value={value})");
        Self::new(StatusCode::BAD_REQUEST, "BadRequestError", message).about(param)
    }

    /// The server does not have the model.
    pub(crate) fn unknown_model(model: &str, known: &[String]) -> Self {
        let message =
            format!("The model `{model}` does not exist. Valid aliases: {}.", known.join(", "));
        Self::new(StatusCode::NOT_FOUND, "NotFoundError", message).about("model")
    }

    /// The server does not have the stored object.
    pub(crate) fn not_found(message: String) -> Self {
        Self::new(StatusCode::NOT_FOUND, "NotFoundError", message)
    }

    /// The queue is full.
    pub(crate) fn busy() -> Self {
        let message = "The engine is currently busy and cannot accept new requests. Please try \
                       again later or on a different instance.";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable", message)
    }

    /// The engine process has died.
    pub(crate) fn engine_dead() -> Self {
        let message =
            "EngineCore encountered an issue. See stack trace (above) for the root cause.";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
    }

    /// A request failed inside the engine: its KV could not be fetched.
    pub(crate) fn internal() -> Self {
        let message = "Internal server error";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "InternalServerError", message)
    }

    /// A fault that a test injected.
    pub(crate) fn injected(status: StatusCode) -> Self {
        match status {
            StatusCode::SERVICE_UNAVAILABLE => Self::busy(),
            _ => Self { status, ..Self::internal() },
        }
    }

    /// The body of the answer, `{"error":{…}}`.
    pub(crate) fn body(&self) -> String {
        let error = json!({
            "message": self.message,
            "type": self.kind,
            "param": self.param,
            "code": self.status.as_u16(),
        });
        json!({ "error": error }).to_string()
    }
}
