//! Taking a request in: its body, what it is and needs, and whose it is.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::HeaderMap;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http_body_util::BodyExt;
use hyper::body::{Body, Incoming};
use qoe_core::request::analyze::{Analysis, Api, HeaderRules, analyze};

use crate::accept::listener::Worker;
use crate::failure::Failure;
use crate::intake::surface::Surface;
use crate::routes::snapshot::{Route, Snapshot};
use crate::shared::body_memory::Reserved;
use qoe_core::request::multipart;

/// A request's body must come within this.
const BODY_WITHIN: Duration = Duration::from_secs(60);
/// Memory is taken ahead for an announced body, but not more than this: the rest may never come.
const RESERVE_AHEAD: usize = 4 << 20;

/// The body, whole.
pub(crate) async fn read(
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

/// What the request is and needs. A body that is neither a form nor a JSON object is refused on every path, also on
/// administrative ones that a route allows: what is not understood here could carry transfer parameters.
pub(crate) fn understand(
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
    let api = surface.generates().unwrap_or(Api::Other);
    if head.uri.path().starts_with("/v1/audio/") && is("multipart/form-data") {
        let content_type = content_type.and_then(|t| t.to_str().ok()).unwrap_or_default();
        let model = multipart::model(content_type, body)?;
        return Ok(Analysis { model, ..Analysis::without_body(&head.headers, &rules) });
    }
    if body.is_empty() && api == Api::Other {
        return Ok(Analysis::without_body(&head.headers, &rules));
    }
    Ok(analyze(api, &head.headers, body, &rules)?)
}

/// The stored response that the request is about or goes on from.
fn stored_response<'a>(surface: Surface, path: &'a str, analysis: &'a Analysis) -> Option<&'a str> {
    match surface {
        Surface::StoredResponse => path.strip_prefix("/v1/responses/")?.split('/').next(),
        Surface::Responses => analysis.previous_response_id.as_deref(),
        _ => None,
    }
}

/// Whose a request is.
pub(crate) struct Whose<'a> {
    pub(crate) route: &'a Arc<Route>,
    /// The only endpoints that may serve it, as indices into the route's pool; empty: any.
    pub(crate) pinned: Vec<usize>,
}

/// The route of a request: by the path that it allows, by the stored response, or by the model.
pub(crate) fn whose<'a>(
    worker: &Worker,
    snapshot: &'a Snapshot,
    surface: Surface,
    path: &str,
    analysis: &Analysis,
) -> Result<Whose<'a>, Failure> {
    if surface == Surface::Administrative
        && let Some(route) = snapshot.route_allowing(path)
    {
        return Ok(Whose { route, pinned: Vec::new() });
    }
    if let Some(id) = stored_response(surface, path, analysis) {
        let (route, pinned) = keeper(worker, snapshot, analysis, id)?;
        return Ok(Whose { route, pinned });
    }
    Ok(Whose { route: snapshot.route(analysis.model.as_deref())?, pinned: Vec::new() })
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
