//! One answer: a status, a body, and how it is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{ALLOW, CONTENT_TYPE, HeaderValue, SERVER};
use http::{Response, StatusCode};
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Full};
use serde_json::Value;

use super::stream::SseBody;

/// A body that is there, or one that is still being written.
#[derive(Debug)]
pub(crate) enum ReplyBody {
    Full(Full<Bytes>),
    Stream(Box<SseBody>),
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Reply {
    status: StatusCode,
    content_type: Option<&'static str>,
    body: ReplyBody,
}

impl Reply {
    pub(crate) fn json(status: StatusCode, body: String) -> Self {
        let body = ReplyBody::Full(Full::new(body.into()));
        Self { status, content_type: Some("application/json"), body }
    }

    pub(crate) fn value(value: &Value) -> Self {
        Self::json(StatusCode::OK, value.to_string())
    }

    pub(crate) fn text(body: String) -> Self {
        let content_type = Some("text/plain; version=1.0.0; charset=utf-8");
        Self { status: StatusCode::OK, content_type, body: ReplyBody::Full(Full::new(body.into())) }
    }

    pub(crate) fn empty() -> Self {
        let body = ReplyBody::Full(Full::default());
        Self { status: StatusCode::OK, content_type: None, body }
    }

    pub(crate) fn stream(body: SseBody) -> Self {
        let content_type = Some("text/event-stream; charset=utf-8");
        Self { status: StatusCode::OK, content_type, body: ReplyBody::Stream(Box::new(body)) }
    }

    /// The body, waited for.
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
        if self.status == StatusCode::METHOD_NOT_ALLOWED {
            headers.insert(ALLOW, HeaderValue::from_static("POST"));
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
