//! vLLM's HTTP API: the routing of paths, and what all answers share.

mod admin;
mod answer;
mod body;
mod chunks;
mod error;
mod generate;
mod info;
mod logprobs;
mod reply;
mod responses;
mod stream;
mod template;

use std::convert::Infallible;
use std::sync::Arc;

use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use serde_json::json;

use crate::app::App;
use crate::metrics;
use crate::wire::body::Api;
use crate::wire::error::ApiError;
use crate::wire::reply::Reply;

/// The longest request body that is accepted, in bytes.
const MAX_BODY: usize = 256 << 20;

/// The handler that a path leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Route<'a> {
    Generate(Api),
    Responses,
    Response(&'a str),
    Embeddings,
    Models,
    Tokenize,
    Detokenize,
    Health,
    Version,
    Load,
    Metrics,
    Admin(admin::Action),
}

impl<'a> Route<'a> {
    fn of(path: &'a str) -> Option<Self> {
        Some(match path {
            "/v1/chat/completions" => Self::Generate(Api::Chat),
            "/v1/completions" => Self::Generate(Api::Completion),
            "/v1/responses" => Self::Responses,
            "/v1/embeddings" => Self::Embeddings,
            "/v1/models" => Self::Models,
            "/tokenize" => Self::Tokenize,
            "/detokenize" => Self::Detokenize,
            "/health" | "/ping" => Self::Health,
            "/version" => Self::Version,
            "/load" => Self::Load,
            "/metrics" => Self::Metrics,
            _ => match path.strip_prefix("/v1/responses/") {
                Some(id) if !id.is_empty() && !id.contains('/') => Self::Response(id),
                _ => Self::Admin(admin::Action::of(path)?),
            },
        })
    }

    fn method(self) -> Method {
        match self {
            Self::Models
            | Self::Health
            | Self::Version
            | Self::Load
            | Self::Metrics
            | Self::Response(_) => Method::GET,
            Self::Admin(action) => action.method(),
            _ => Method::POST,
        }
    }
}

/// Answers one request.
pub(crate) async fn handle(
    app: Arc<App>,
    request: Request<Incoming>,
) -> Result<http::Response<reply::ReplyBody>, Infallible> {
    let reply = match answer(&app, request).await {
        Ok(reply) => reply,
        Err(error) => Reply::json(error.status, error.body()),
    };
    Ok(reply.into_response())
}

async fn answer(app: &Arc<App>, request: Request<Incoming>) -> Result<Reply, ApiError> {
    if app.driver.is_dead() {
        // Once the engine is dead every path fails, also probes, as with vLLM.
        return Err(ApiError::engine_dead());
    }
    let (head, incoming) = request.into_parts();
    let path = head.uri.path();
    if path.starts_with("/v1") && !authorized(app, &head.headers) {
        let body = json!({"error": "Unauthorized"}).to_string();
        return Ok(Reply::json(StatusCode::UNAUTHORIZED, body));
    }
    let Some(route) = Route::of(path) else { return Ok(detail(StatusCode::NOT_FOUND)) };
    // `/ping` is the only path with two methods.
    if head.method != route.method() && !(path == "/ping" && head.method == Method::POST) {
        return Ok(detail(StatusCode::METHOD_NOT_ALLOWED).allowing(&route.method()));
    }
    let Ok(body) = Limited::new(incoming, MAX_BODY).collect().await else {
        return Ok(detail(StatusCode::BAD_REQUEST));
    };
    let body = body.to_bytes();
    match route {
        Route::Generate(api) => generate::generate(app, api, &head.headers, &body).await,
        Route::Responses => responses::create(app, &body).await,
        Route::Response(id) => responses::get(app, id),
        Route::Embeddings => info::embeddings(app, &body),
        Route::Models => Ok(info::models(app)),
        Route::Tokenize => info::tokenize(app, &body),
        Route::Detokenize => info::detokenize(&body),
        Route::Health => Ok(Reply::empty()),
        Route::Version => Ok(Reply::value(&json!({"version": "0.32.0"}))),
        Route::Load => Ok(info::load(app)),
        Route::Metrics => Ok(Reply::text(metrics::render(app))),
        Route::Admin(action) => admin::act(app, action, head.uri.query(), &body),
    }
}

fn authorized(app: &App, headers: &http::HeaderMap) -> bool {
    let Some(key) = &app.config.api_key else { return true };
    let given = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    given.and_then(|given| given.strip_prefix("Bearer ")) == Some(key)
}

/// The answer of vLLM's web framework to unknown paths and methods.
fn detail(status: StatusCode) -> Reply {
    let detail = status.canonical_reason().unwrap_or("Error");
    Reply::json(status, json!({ "detail": detail }).to_string())
}
