//! A request's way in: what it is, whether it may, whose it is. From there on [`crate::execute`] has it.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use qoe_core::analyze::{Analysis, Api, analyze};
use qoe_core::splice;

use crate::body::Reply;
use crate::error::Failure;
use crate::execute::{Call, serve};
use crate::headers::{self, EXPLAIN, REQUEST_ID};
use crate::multipart::{self, Form};
use crate::snapshot::{Route, Snapshot};
use crate::surface::Surface;
use crate::ticket::{Asked, Ticket};
use crate::upstream::collect;
use crate::worker::Worker;
use crate::{models, upgrade};

/// Longer targets are refused.
const LONGEST_TARGET: usize = 8 * 1024;
/// A request's body must come within this.
const BODY_WITHIN: Duration = Duration::from_secs(60);

/// Answers one request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let request_id = headers::request_id(request.headers(), &mut *worker.rng.borrow_mut());
    let answered = answer(&worker, request, &request_id).await;
    let mut response = answered.unwrap_or_else(|failure| {
        worker.shared.metrics.refused(failure.kind());
        tracing::debug!(request_id = ?request_id, %failure, "refused");
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
        _ if headers::is_upgrade(request.headers()) => {
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
    let body = read(body, &head.headers, snapshot.max_body_bytes()).await?;
    let analysis = understand(surface, &head, &body, snapshot)?;
    let route = match surface {
        Surface::Administrative => snapshot.route_allowing(head.uri.path()),
        _ => None,
    };
    let stored = stored_response(surface, head.uri.path(), &analysis);
    let (route, pinned) = match (route, stored) {
        (Some(route), _) => (route, Vec::new()),
        (None, Some(id)) => keeper(worker, snapshot, surface, &analysis, id)?,
        (None, None) => (snapshot.route(analysis.model.as_deref())?, Vec::new()),
    };
    if body.len() > route.max_body_bytes {
        return Err(Failure::BodyTooLarge(route.max_body_bytes as u64));
    }
    let analysis = Arc::new(analysis);
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
    };
    let ticket = Ticket::open(&worker.shared, route, asked, began)?;
    Ok(serve(worker, call, ticket).await)
}

/// The body, whole.
async fn read(body: Incoming, headers: &HeaderMap, limit: usize) -> Result<Bytes, Failure> {
    let announced =
        headers.get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > limit as u64) {
        return Err(Failure::BodyTooLarge(limit as u64));
    }
    tokio::time::timeout(BODY_WITHIN, collect(body, limit))
        .await
        .map_err(|_| Failure::BodyTimeout(BODY_WITHIN.as_secs()))?
        .map_err(Failure::BodyUnreadable)?
        .ok_or(Failure::BodyTooLarge(limit as u64))
}

/// What the request is and needs.
fn understand(
    surface: Surface,
    head: &http::request::Parts,
    body: &Bytes,
    snapshot: &Snapshot,
) -> Result<Analysis, Failure> {
    let rules = snapshot.header_rules();
    let content_type = head.headers.get(CONTENT_TYPE);
    let is = |prefix: &str| {
        content_type.and_then(|t| t.to_str().ok()).is_some_and(|t| t.starts_with(prefix))
    };
    let api = match surface {
        Surface::Generate(api) => api,
        _ => Api::Other,
    };
    if surface != Surface::Administrative && is("multipart/form-data") && api == Api::Other {
        let content_type = content_type.and_then(|t| t.to_str().ok()).unwrap_or_default();
        let Form { model, reserved } = multipart::read(content_type, body);
        if let Some(field) = reserved {
            return Err(Failure::ReservedField(field));
        }
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
/// (another router passed it on), each endpoint in turn.
fn keeper<'a>(
    worker: &Worker,
    snapshot: &'a Snapshot,
    surface: Surface,
    analysis: &Analysis,
    id: &str,
) -> Result<(&'a Arc<Route>, Vec<usize>), Failure> {
    if let Some(name) = worker.shared.stored.endpoint(id) {
        let place = |route: &'a Arc<Route>| {
            let i = route.pool.iter().position(|endpoint| endpoint.state.name == name)?;
            Some((route, vec![i]))
        };
        return snapshot.routes.iter().find_map(place).ok_or(Failure::NoStoredResponse);
    }
    let route = match surface {
        Surface::StoredResponse if analysis.model.is_none() => match snapshot.routes.as_slice() {
            [only] => only,
            _ => return Err(Failure::NoStoredResponse),
        },
        _ => snapshot.route(analysis.model.as_deref())?,
    };
    Ok((route, (0..route.pool.len()).collect()))
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
