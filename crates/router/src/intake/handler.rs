//! The entry of every request: it is answered here, or handed to [`crate::execute`] with its route and its ticket.

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use qoe_core::request::analyze::Api;

use crate::answer::reply::Reply;
use crate::execute::call::Call;
use crate::execute::serve::serve;
use crate::execute::upgrade;
use crate::failure::Failure;
use crate::headers::{self, EXPLAIN, REQUEST_ID};
use crate::intake::body::read;
use crate::intake::destination::{Destination, destination_of};
use crate::intake::models;
use crate::intake::surface::Surface;
use crate::intake::understand::understand;
use crate::routes::snapshot::Snapshot;
use crate::ticket::Ticket;
use crate::ticket::routed_request::RoutedRequest;
use crate::worker::Worker;
use crate::worker::drain::Lifecycle;

/// Largest head of a request, in bytes; beyond, 431. It holds some tokens and cookies of 4 to 8 KiB each.
pub(crate) const MAX_HEAD_BYTES: usize = 64 * 1024;

/// Longest path and query of a request, in bytes; beyond, 414. vLLM's paths and queries fit a few hundred.
const MAX_TARGET_BYTES: usize = 8 * 1024;

/// Answers one request.
pub(crate) async fn handle(
    worker: Rc<Worker>,
    request: Request<Incoming>,
) -> Result<Response<Reply>, Infallible> {
    let request_id = headers::request_id(request.headers(), &mut *worker.rng.borrow_mut());
    let version = request.version();
    let mut response = tokio::select! {
        biased;
        answered = answer(&worker, request, &request_id) => answered.unwrap_or_else(|failure| {
            worker.shared.metrics.refused(failure.kind());
            // `Debug` of the text: a client's words in it must not begin a line of their own.
            tracing::debug!(request_id = ?request_id, failure = ?failure.to_string(), "refused");
            failure.into_response()
        }),
        // Not counted here: the request's ticket counts it when it is dropped.
        () = worker.drain.reached(Lifecycle::Closing) => Failure::DrainDeadline.into_response(),
    };
    response.headers_mut().insert(REQUEST_ID, request_id);
    if worker.shared.leaving.load(Ordering::Relaxed) {
        headers::say_last(&mut response, version);
    }
    Ok(response)
}

async fn answer(
    worker: &Rc<Worker>,
    request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Result<Response<Reply>, Failure> {
    // hyper ends a head that is incomplete at this size, but takes one whose rest comes with its last read.
    if headers::size(request.headers()) > MAX_HEAD_BYTES {
        return Err(Failure::HeadTooLarge(MAX_HEAD_BYTES));
    }
    let path = request.uri().path();
    if path.len() + request.uri().query().map_or(0, str::len) > MAX_TARGET_BYTES {
        return Err(Failure::UriTooLong(MAX_TARGET_BYTES));
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

/// Reads the request's body, finds its route, and serves it.
async fn proxied(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    surface: Surface,
    request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Result<Response<Reply>, Failure> {
    let began = worker.shared.now();
    let (mut head, body) = request.into_parts();
    let memory = &worker.shared.body_memory;
    let body = tokio::select! {
        biased;
        body = read(body, &head.headers, snapshot.max_body_bytes(), memory) => body?,
        // It has no ticket yet that would count it.
        () = worker.drain.reached(Lifecycle::Closing) => return Err(Failure::DrainDeadline),
    };
    let analysis = understand(surface, &head, &body)?;
    let Destination { route, pinned } =
        destination_of(worker, snapshot, surface, head.uri.path(), &analysis)?;
    if body.len() > route.max_body_bytes {
        return Err(Failure::BodyTooLarge(route.max_body_bytes as u64));
    }
    let analysis = Arc::new(analysis.with_headers(&head.headers, &route.headers));
    let asked = RoutedRequest {
        generates: matches!(surface, Surface::Generate(_) | Surface::Responses),
        ..RoutedRequest::new(request_id, name(surface), route, &analysis, &body)
    };
    let explain = head.headers.get(EXPLAIN).is_some_and(|value| value == "1");
    headers::prepare(&mut head.headers, request_id);
    let call = Call {
        target: head.uri.path_and_query().cloned().unwrap_or_else(|| "/".parse().expect("a path")),
        method: head.method,
        headers: head.headers,
        body,
        generate: surface.generates(),
        pinned,
        stores: surface == Surface::Responses,
        explain,
    };
    // Other requests do not wait: there is no forecast of an endpoint's time for them.
    let waits = call.generate.is_some() && call.pinned.is_empty() && route.queues();
    let ticket = match waits {
        true => Ticket::waiting(&worker.shared, route, asked, began),
        false => Ticket::open(&worker.shared, route, asked, began)?,
    };
    Ok(serve(worker, call, ticket).await)
}

/// The name of a request's API in records.
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
