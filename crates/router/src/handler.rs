//! A request's way in: what it is, whether it may, whose it is. From there on [`crate::execute`] has it.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use qoe_core::analyze::{Analysis, Api, HeaderRules, analyze};
use qoe_core::splice;

use crate::body::Reply;
use crate::error::Failure;
use crate::execute::{Call, serve};
use crate::headers::{self, EXPLAIN, REQUEST_ID};
use crate::memory::Reserved;
use crate::snapshot::{Route, Snapshot};
use crate::surface::Surface;
use crate::ticket::{Asked, Ticket};
use crate::worker::Worker;
use crate::{models, multipart, upgrade};

/// Longer targets are refused.
const LONGEST_TARGET: usize = 8 * 1024;
/// A request's body must come within this.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// Memory is taken ahead for an announced body, but not more than this: the rest may never come.
const RESERVE_AHEAD: usize = 4 << 20;

/// Answers one request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let request_id = headers::request_id(request.headers(), &mut *worker.rng.borrow_mut());
    let answered = answer(&worker, request, &request_id).await;
    let mut response = answered.unwrap_or_else(|failure| {
        worker.shared.metrics.refused(failure.kind());
        let failure_text = failure.to_string();
        tracing::debug!(request_id = ?request_id, failure = ?failure_text, "refused");
        failure.into_response()
    });
    response.headers_mut().insert(REQUEST_ID, request_id);
    Ok(response)
}

async fn answer(
    worker: &Rc<Worker>,
    request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Result<Response<Reply>, Failure> {
    let path = request.uri().path();
    if path.len() + request.uri().query().map_or(0, str::len) > LONGEST_TARGET {
        return Err(Failure::UriTooLong(LONGEST_TARGET));
    }
    let snapshot = worker.shared.snapshot.load_full();
    let surface = Surface::of(path);
    if surface == Surface::Administrative && snapshot.route_allowing(path).is_none() {
        return Err(Failure::UnknownPath(path.to_owned()));
    }
    if !surface.allows(request.method()) {
        let (method, path) = (request.method().clone(), path.to_owned());
        return Err(Failure::MethodNotAllowed { method, path });
    }
    match surface {
        Surface::Health => Ok(health(&snapshot)),
        Surface::Models => models::answer(&snapshot, path),
        Surface::One if headers::is_websocket(&request) => {
            upgrade::answer(worker, &snapshot, request, request_id).await
        }
        surface => proxied(worker, &snapshot, surface, request, request_id).await,
    }
}

fn health(snapshot: &Snapshot) -> Response<Reply> {
    let mut response = Response::new(Reply::empty());
    if snapshot.version == 0 {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    response
}

/// Reads the request whole, finds its route, and serves it.
async fn proxied(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    surface: Surface,
    request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Result<Response<Reply>, Failure> {
    let began = worker.shared.now();
    let (mut head, body) = request.into_parts();
    let mut reserved = worker.shared.body_memory.reserve();
    let body = read(body, &head.headers, snapshot.max_body_bytes(), &mut reserved).await?;
    let analysis = understand(surface, &head, &body)?;
    let route = match surface {
        Surface::Administrative => snapshot.route_allowing(head.uri.path()),
        _ => None,
    };
    let stored = stored_response(surface, head.uri.path(), &analysis);
    let (route, pinned) = match (route, stored) {
        (Some(route), _) => (route, Vec::new()),
        (None, Some(id)) => keeper(worker, snapshot, &analysis, id)?,
        (None, None) => (snapshot.route(analysis.model.as_deref())?, Vec::new()),
    };
    if body.len() > route.max_body_bytes {
        return Err(Failure::BodyTooLarge(route.max_body_bytes as u64));
    }
    let analysis = Arc::new(analysis.with_headers(&head.headers, &route.headers));
    let asked = Asked {
        request_id: request_id.clone(),
        api: name(surface),
        prompt_tokens: route.state.prompt_tokens(&analysis),
        analysis: Arc::clone(&analysis),
    };
    let explain = head.headers.get(EXPLAIN).is_some_and(|value| value == "1");
    headers::prepare(&mut head.headers, request_id);
    let call = Call {
        target: head.uri.path_and_query().cloned().unwrap_or_else(|| "/".parse().expect("a path")),
        method: head.method,
        headers: head.headers,
        whole: splice::whole(&body, &analysis),
        body,
        generate: match surface {
            Surface::Generate(api) => Some(api),
            _ => None,
        },
        pinned,
        stores: surface == Surface::Responses,
        explain,
        _reserved: reserved,
    };
    let ticket = Ticket::open(&worker.shared, route, asked, began)?;
    Ok(serve(worker, call, ticket).await)
}

/// The body, whole.
async fn read(
    body: Incoming,
    headers: &HeaderMap,
    limit: usize,
    reserved: &mut Reserved,
) -> Result<Bytes, Failure> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(Failure::BodyTooLarge(limit as u64));
    }
    tokio::time::timeout(BODY_WITHIN, collect(body, limit, reserved))
        .await
        .unwrap_or(Err(Failure::BodyTimeout(BODY_WITHIN.as_secs())))
}

/// A body up to `limit` bytes, for which memory is taken as they come. One that comes in one piece is not copied.
async fn collect(
    mut body: Incoming,
    limit: usize,
    reserved: &mut Reserved,
) -> Result<Bytes, Failure> {
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Failure::BodyUnreadable)?.into_data() else { continue };
        if first.len() + all.len() + data.len() > limit {
            return Err(Failure::BodyTooLarge(limit as u64));
        }
        if !reserved.grow(data.len()) {
            return Err(Failure::BodyMemory);
        }
        if first.is_empty() && all.is_empty() {
            first = data;
            continue;
        }
        if all.is_empty() {
            let left = usize::try_from(body.size_hint().lower()).unwrap_or(limit).min(limit);
            all.reserve(first.len() + data.len() + left.min(RESERVE_AHEAD));
            all.extend_from_slice(&std::mem::take(&mut first));
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

/// What the request is and needs.
fn understand(
    surface: Surface,
    head: &http::request::Parts,
    body: &Bytes,
) -> Result<Analysis, Failure> {
    // The route's own header names are read once the route is known.
    let rules = HeaderRules::default();
    let content_type = head.headers.get(CONTENT_TYPE);
    let is = |prefix: &str| {
        content_type.and_then(|t| t.to_str().ok()).is_some_and(|t| t.starts_with(prefix))
    };
    let api = match surface {
        Surface::Generate(api) => api,
        _ => Api::Other,
    };
    if head.uri.path().starts_with("/v1/audio/") && is("multipart/form-data") {
        let content_type = content_type.and_then(|t| t.to_str().ok()).unwrap_or_default();
        let model = multipart::model(content_type, body)?;
        return Ok(Analysis { model, ..Analysis::without_body(&head.headers, &rules) });
    }
    let has_json = api != Api::Other || (!body.is_empty() && surface != Surface::Administrative);
    if has_json {
        return Ok(analyze(api, &head.headers, body, &rules)?);
    }
    Ok(Analysis::without_body(&head.headers, &rules))
}

/// The stored response that the request is about or goes on from.
fn stored_response<'a>(surface: Surface, path: &'a str, analysis: &'a Analysis) -> Option<&'a str> {
    match surface {
        Surface::StoredResponse => path.strip_prefix("/v1/responses/")?.split('/').next(),
        Surface::Responses => analysis.previous_response_id.as_deref(),
        _ => None,
    }
}

/// The route and the endpoints that may keep a stored response: the one that made it, or, where that is not known
/// (another router passed it on), each healthy endpoint in turn.
fn keeper<'a>(
    worker: &Worker,
    snapshot: &'a Snapshot,
    analysis: &Analysis,
    id: &str,
) -> Result<(&'a Arc<Route>, Vec<usize>), Failure> {
    let routes = match (&analysis.model, snapshot.routes.as_slice()) {
        (Some(model), _) => std::slice::from_ref(snapshot.route(Some(model))?),
        (None, routes) => routes,
    };
    if let Some(name) = worker.shared.stored.endpoint(id) {
        let place = |route: &'a Arc<Route>| {
            let i = route.pool.iter().position(|endpoint| endpoint.state.name == name)?;
            Some((route, vec![i]))
        };
        return routes.iter().find_map(place).ok_or(Failure::NoStoredResponse);
    }
    let [route] = routes else { return Err(Failure::NoStoredResponse) };
    let now = worker.shared.now();
    let healthy = |i: &usize| !route.pool[*i].state.ejected(now);
    match (0..route.pool.len()).filter(healthy).collect::<Vec<_>>() {
        none if none.is_empty() => Err(Failure::NoStoredResponse),
        endpoints => Ok((route, endpoints)),
    }
}

/// The API's name in records.
const fn name(surface: Surface) -> &'static str {
    match surface {
        Surface::Generate(Api::ChatCompletions) => "chat_completions",
        Surface::Generate(_) => "completions",
        Surface::Responses => "responses",
        Surface::StoredResponse => "stored_response",
        Surface::Administrative => "administrative",
        Surface::One | Surface::Models | Surface::Health => "other",
    }
}
