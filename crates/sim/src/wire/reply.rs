//! An answer and its body, whole or streamed.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, SERVER};
use http::{Method, Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use crate::wire::stream::SseBody;

/// The body of an answer, whole or still being written.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    Full(Full<Bytes>),
    Stream(Box<SseBody>),
}

/// An answer of the server.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    content_type: Option<&'static str>,
    allow: Option<HeaderValue>,
    body: ReplyBody,
}

impl Reply {
    fn new(status: StatusCode, content_type: Option<&'static str>, body: ReplyBody) -> Self {
        Self { status, content_type, allow: None, body }
    }

    fn full(status: StatusCode, content_type: &'static str, body: String) -> Self {
        Self::new(status, Some(content_type), ReplyBody::Full(Full::new(body.into())))
    }

    pub(crate) fn json(status: StatusCode, body: String) -> Self {
        Self::full(status, "application/json", body)
    }

    pub(crate) fn value(value: &Value) -> Self {
        Self::json(StatusCode::OK, value.to_string())
    }

    pub(crate) fn text(body: String) -> Self {
        Self::full(StatusCode::OK, "text/plain; version=1.0.0; charset=utf-8", body)
    }

    pub(crate) fn empty() -> Self {
        Self::new(StatusCode::OK, None, ReplyBody::Full(Full::default()))
    }

    pub(crate) fn stream(body: SseBody) -> Self {
        let content_type = Some("text/event-stream; charset=utf-8");
        Self::new(StatusCode::OK, content_type, ReplyBody::Stream(Box::new(body)))
    }

    /// Adds the header `allow` with the method of the path.
    pub(crate) fn allowing(mut self, method: &Method) -> Self {
        self.allow = HeaderValue::from_str(method.as_str()).ok();
        self
    }

    /// Waits for the whole body and returns it.
    pub(crate) async fn into_bytes(self) -> Bytes {
        let Ok(body) = self.body.collect().await;
        body.to_bytes()
    }

    pub(crate) fn into_response(self) -> Response<ReplyBody> {
        let mut response = Response::new(self.body);
        *response.status_mut() = self.status;
        let headers = response.headers_mut();
        headers.insert(SERVER, HeaderValue::from_static("uvicorn"));
        if let Some(content_type) = self.content_type {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        }
        if let Some(allow) = self.allow {
            headers.insert(ALLOW, allow);
        }
        response
    }
}

impl Body for ReplyBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match self.get_mut() {
            Self::Full(body) => Pin::new(body).poll_frame(cx),
            Self::Stream(body) => body.poll(cx).map(|bytes| Some(Ok(Frame::data(bytes?)))),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Full(body) => body.is_end_stream(),
            Self::Stream(body) => body.is_done(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Full(body) => body.size_hint(),
            Self::Stream(_) => SizeHint::default(),
        }
    }
}
