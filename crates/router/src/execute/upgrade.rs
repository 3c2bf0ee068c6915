//! Protocol upgrades (WebSocket): the request goes to one endpoint, and if that agrees, both connections become a tunnel.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONNECTION, CONTENT_LENGTH, HOST, UPGRADE};
use http::{HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::phase::Phase;
use qoe_core::plan::choice::Choice;
use qoe_core::plan::plan;
use qoe_core::plan::reason::Reason;
use qoe_core::plan::scope::{Demand, Tried};
use qoe_core::request::analyze::{Analysis, WholeReason};
use qoe_core::request::splice::Segments;
use tokio::task::spawn_local;

use crate::answer::reply::Reply;
use crate::execute::tunnel::{self, End};
use crate::failure::Failure;
use crate::headers;
use crate::routes::route::Route;
use crate::routes::snapshot::Snapshot;
use crate::ticket::Ticket;
use crate::ticket::routed_request::RoutedRequest;
use crate::upstream::connection::upgradable;
use crate::upstream::error::UpstreamError;
use crate::upstream::leg::Leg;
use crate::worker::Worker;
use crate::worker::drain::Lifecycle;

/// Answers a request to upgrade by the endpoint's own answer. After a 101, a task passes the bytes on.
pub(crate) async fn answer(
    worker: &Rc<Worker>,
    snapshot: &Snapshot,
    mut request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Result<Response<Reply>, Failure> {
    let model = request.uri().query().and_then(model_of);
    let route = Arc::clone(snapshot.route(model.as_deref())?);
    let analysis = Analysis { model, ..Analysis::without_body(request.headers(), &route.headers) };
    let asked = without_tokens(request_id, &Arc::new(analysis));
    let mut ticket = Ticket::open(&worker.shared, &route, asked, worker.shared.now())?;
    let endpoint = match choose(worker, &ticket) {
        Ok(endpoint) => endpoint,
        Err(failure) => return Ok(failed(&mut ticket, failure)),
    };
    ticket.planned((Reason::Whole(WholeReason::OtherApi), None), None, &endpoint);
    ticket.sent();
    let client = hyper::upgrade::on(&mut request);
    let response = match exchange(&route, &endpoint, request, request_id).await {
        Ok(answered) => answered,
        Err(failure) => return Ok(failed(&mut ticket, failure)),
    };
    ticket.answered(response.status());
    if response.status() == StatusCode::SWITCHING_PROTOCOLS {
        return Ok(switched(worker, ticket, client, response));
    }
    let (mut head, _) = response.into_parts();
    headers::strip_hop_by_hop(&mut head.headers);
    head.headers.remove(CONTENT_LENGTH);
    ticket.succeeded();
    Ok(Response::from_parts(head, Reply::empty()))
}

/// A request whose bytes are not understood here, so that it counts without tokens.
fn without_tokens(request_id: &HeaderValue, analysis: &Arc<Analysis>) -> RoutedRequest {
    RoutedRequest {
        request_id: request_id.clone(),
        api: "upgrade",
        prompt_tokens: 0,
        output_tokens: 0.0,
        generates: false,
        blocks: Box::default(),
        block_tokens: 0.0,
        analysis: Arc::clone(analysis),
    }
}

/// Passes the endpoint's 101 on, and spawns the task that then passes bytes in both directions.
fn switched(
    worker: &Worker,
    mut ticket: Ticket,
    client: OnUpgrade,
    mut response: Response<Incoming>,
) -> Response<Reply> {
    let server = hyper::upgrade::on(&mut response);
    // Held from now on: the worker's task of the client's connection ends with the upgrade.
    let held = worker.drain.hold();
    let deadline = worker.drain.reached(Lifecycle::Closing);
    let idle = ticket.route().timeouts.idle;
    spawn_local(async move {
        let end = match tokio::try_join!(client, server) {
            Ok((client, server)) => {
                tunnel::run(TokioIo::new(client), TokioIo::new(server), idle, deadline).await
            }
            Err(error) => return ticket.failed(&Failure::Upgrade(error.to_string())),
        };
        match end {
            End::Closed => ticket.succeeded(),
            End::Idle => ticket.closed_idle(),
            End::Deadline => ticket.cut(),
        }
        drop(held);
    });
    response.map(|_| Reply::empty())
}

/// The answer to a request that failed. Its ticket counts it, so it is no refusal.
fn failed(ticket: &mut Ticket, failure: Failure) -> Response<Reply> {
    ticket.failed(&failure);
    failure.into_response()
}

/// The `model` parameter of a query, which is where realtime clients put it.
fn model_of(query: &str) -> Option<String> {
    let value = query.split('&').find_map(|pair| pair.strip_prefix("model="))?;
    (!value.is_empty()).then(|| value.replace("%2F", "/").replace("%2f", "/"))
}

fn choose(worker: &Worker, ticket: &Ticket) -> Result<Arc<EndpointState>, Failure> {
    let route = ticket.route();
    let demand = ticket.asked().demand(route, ticket.waited());
    let demand = Demand { phase: Phase::Decoding, ..demand };
    let tried = Tried::default();
    let scope = route.scope(&tried, ticket.now());
    let Choice { plan, .. } = plan(&scope, &demand, &mut *worker.rng.borrow_mut())
        .ok_or_else(|| Failure::NoEndpoint { route: route.name.to_string() })?;
    Ok(Arc::clone(&route.pool[plan.answering()].state))
}

async fn exchange(
    route: &Route,
    endpoint: &EndpointState,
    request: Request<Incoming>,
    request_id: &HeaderValue,
) -> Result<Response<Incoming>, Failure> {
    let upstream = |error| Failure::Upstream {
        route: route.name.to_string(),
        phase: Phase::Decoding,
        endpoint: endpoint.name.to_string(),
        error,
    };
    let (mut head, _) = request.into_parts();
    let protocol = head.headers.get(UPGRADE).cloned();
    headers::prepare(&mut head.headers, request_id);
    head.headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    if let Some(protocol) = protocol {
        head.headers.insert(UPGRADE, protocol);
    }
    let host = HeaderValue::from_str(&endpoint.authority);
    head.headers.insert(HOST, host.expect("an authority is a valid header value"));
    let mut leg = Request::new(Leg::from(Segments::from(Bytes::new())));
    *leg.uri_mut() = head.uri.path_and_query().cloned().map(Into::into).unwrap_or_default();
    *leg.headers_mut() = head.headers;
    let within = route.timeouts.first_token;
    let asking = upgradable(&endpoint.authority, leg, route.timeouts.connect);
    tokio::time::timeout(within, asking)
        .await
        .unwrap_or(Err(UpstreamError::Timeout(within)))
        .map_err(upstream)
}
