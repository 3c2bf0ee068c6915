//! The route of a request, and the endpoints that alone may serve it.

use std::sync::Arc;

use qoe_core::request::analyze::Analysis;

use crate::failure::Failure;
use crate::intake::surface::Surface;
use crate::routes::route::Route;
use crate::routes::snapshot::Snapshot;
use crate::worker::Worker;

/// The id of the stored response that the request reads or continues.
fn stored_response<'a>(surface: Surface, path: &'a str, analysis: &'a Analysis) -> Option<&'a str> {
    match surface {
        Surface::StoredResponse => path.strip_prefix("/v1/responses/")?.split('/').next(),
        Surface::Responses => analysis.previous_response_id.as_deref(),
        _ => None,
    }
}

/// The route of a request, and the endpoints it is restricted to.
pub(crate) struct Destination<'a> {
    pub(crate) route: &'a Arc<Route>,
    /// The only endpoints that may serve it, as indices into the route's pool; empty means any.
    pub(crate) pinned: Vec<usize>,
}

/// The route of a request: by the path that it allows, by the stored response, or by the model.
pub(crate) fn destination_of<'a>(
    worker: &Worker,
    snapshot: &'a Snapshot,
    surface: Surface,
    path: &str,
    analysis: &Analysis,
) -> Result<Destination<'a>, Failure> {
    if surface == Surface::Administrative
        && let Some(route) = snapshot.route_allowing(path)
    {
        return Ok(Destination { route, pinned: Vec::new() });
    }
    if let Some(id) = stored_response(surface, path, analysis) {
        let (route, pinned) = holder_of(worker, snapshot, analysis, id)?;
        return Ok(Destination { route, pinned });
    }
    Ok(Destination { route: snapshot.route(analysis.model.as_deref())?, pinned: Vec::new() })
}

/// The route and the endpoints that may hold a stored response: the endpoint that made it, or every healthy endpoint
/// where this router does not know it, because another router served that request.
fn holder_of<'a>(
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
    let healthy = |i: &usize| !route.pool[*i].state.health.ejected(now);
    match (0..route.pool.len()).filter(healthy).collect::<Vec<_>>() {
        none if none.is_empty() => Err(Failure::NoStoredResponse),
        endpoints => Ok((route, endpoints)),
    }
}
