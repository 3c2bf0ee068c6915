//! Looking at what endpoints publish of themselves: `/metrics` every interval, `/v1/models` now and then.
//!
//! It informs choices and nothing else: an endpoint that cannot be looked at is not thereby unavailable.

pub(crate) mod models;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::FuturesUnordered;
use http::header::HOST;
use http::{HeaderValue, Request};
use qoe_core::endpoint::exposition::EngineMetrics;
use qoe_core::endpoint::scraped::Counters;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::request::analyze::BLOCK_BYTES;
use qoe_core::request::splice::Segments;
use qoe_runtime::readiness::Guard;

use crate::shared::Shared;
use crate::upstream;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::exchange::read_all;
use crate::upstream::leg::Leg;

/// One look must be over within this.
const WITHIN: Duration = Duration::from_secs(5);
/// Largest page that is read.
const MAX_PAGE: usize = 8 << 20;
/// An endpoint is asked for its models at each look until it answered, and then at every so many.
const MODELS_EVERY: u32 = 30;

/// Name and authority: of a pod that serves two routes on two ports, both are looked at.
type Identity = (Arc<str>, Arc<str>);

fn identity(endpoint: &EndpointState) -> Identity {
    (Arc::clone(&endpoint.name), Arc::clone(&endpoint.authority))
}

/// What is kept of an endpoint from one look to the next.
#[derive(Default)]
struct Looked {
    connection: Option<Connection>,
    counters: Counters,
    looks: u32,
}

/// Looks at all endpoints for ever, each `interval`. A look that takes longer delays only its own endpoint's next one.
/// `first` is dropped once all endpoints of the first configuration were looked at: until then it is not known who
/// serves which model.
pub(crate) async fn run(shared: Arc<Shared>, interval: Duration, first: Guard) {
    let mut first = Some(first);
    let mut ticks = tokio::time::interval(interval);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let mut known: HashMap<Identity, Looked> = HashMap::new();
    let mut under_way: HashSet<Identity> = HashSet::new();
    let mut looks = FuturesUnordered::new();
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                let snapshot = shared.snapshot.load_full();
                // Endpoints that are gone are forgotten, with their connections and their series.
                let there: HashSet<Identity> = snapshot.endpoints.iter().map(|e| identity(e)).collect();
                known.retain(|identity, _| there.contains(identity));
                let names: HashSet<&str> = snapshot.endpoints.iter().map(|e| &*e.name).collect();
                shared.metrics.retain_endpoints(|name| names.contains(name));
                for endpoint in &snapshot.endpoints {
                    let identity = identity(endpoint);
                    if under_way.insert(identity.clone()) {
                        let looked = known.remove(&identity).unwrap_or_default();
                        let named = snapshot.told_models.contains(&endpoint.name);
                        looks.push(look(&shared, Arc::clone(endpoint), looked, named));
                    }
                }
                if snapshot.version > 0 && looks.is_empty() {
                    drop(first.take());
                }
            }
            Some((identity, looked)) = looks.next() => {
                under_way.remove(&identity);
                known.insert(identity, looked);
                if looks.is_empty() {
                    drop(first.take());
                }
            }
        }
    }
}

async fn look(
    shared: &Shared,
    endpoint: Arc<EndpointState>,
    mut known: Looked,
    models_named: bool,
) -> (Identity, Looked) {
    let looked =
        tokio::time::timeout(WITHIN, look_within(shared, &endpoint, &mut known, models_named));
    let ok = matches!(looked.await, Ok(Ok(())));
    if !ok {
        known.connection = None;
    }
    if ok {
        tell_capacity(shared, &endpoint);
    }
    shared.metrics.scraped(ok);
    shared.metrics.endpoint_in_flight(&endpoint.name, endpoint.ledger.in_flight_all());
    (identity(&endpoint), known)
}

/// Tells the routes of an endpoint how much its prefix cache holds, as far as it has said so.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn tell_capacity(shared: &Shared, endpoint: &EndpointState) {
    let Some(tokens) = endpoint.signals.kv_capacity.get(shared.now()) else { return };
    for route in &shared.snapshot.load().routes {
        if route.pool.of_tag(endpoint.tag).is_some() {
            let blocks = tokens.value / route.state.tokens_of(BLOCK_BYTES);
            route.state.memory.prefixes().set_capacity(endpoint.tag, blocks as u32);
        }
    }
}

/// An endpoint that serves none of its route's models gets no request, and nothing else would say why.
fn warn_of_other_models(shared: &Shared, endpoint: &EndpointState) {
    for route in &shared.snapshot.load().routes {
        let wanted = &route.source.spec.models;
        let has_it = route.pool.of_tag(endpoint.tag).is_some();
        if has_it && !wanted.is_empty() && !wanted.iter().any(|model| endpoint.serves(model)) {
            let served = endpoint.served();
            let served = served.iter().flat_map(|served| served.iter());
            let served: Vec<&str> = served.map(|model| &*model.id).collect();
            tracing::warn!(
                route = %route.name,
                endpoint = %endpoint.name,
                ?wanted,
                ?served,
                "an endpoint serves none of its route's models; it is left out"
            );
        }
    }
}

async fn look_within(
    shared: &Shared,
    endpoint: &EndpointState,
    known: &mut Looked,
    models_named: bool,
) -> Result<(), UpstreamError> {
    if !models_named && (endpoint.served().is_none() || known.looks.is_multiple_of(MODELS_EVERY)) {
        // An endpoint that does not tell its models may still tell how it does.
        let page = get(endpoint, known, "/v1/models").await.unwrap_or_default();
        if let Some(served) = models::parse(&page)
            && !models::same(endpoint.served().as_ref(), &served)
        {
            endpoint.set_served(served);
            warn_of_other_models(shared, endpoint);
        }
    }
    known.looks = known.looks.wrapping_add(1);
    let page = get(endpoint, known, "/metrics").await?;
    endpoint.scraped(&EngineMetrics::parse(&page), &mut known.counters, shared.now());
    Ok(())
}

/// One page, on the connection of the last look if it is still open.
async fn get(
    endpoint: &EndpointState,
    known: &mut Looked,
    path: &'static str,
) -> Result<Bytes, UpstreamError> {
    let request = || {
        let mut request = Request::new(Leg::from(Segments::from(Bytes::new())));
        *request.uri_mut() = http::Uri::from_static(path);
        let host = HeaderValue::from_str(&endpoint.authority);
        request.headers_mut().insert(HOST, host.expect("an authority is a valid header value"));
        request
    };
    let open = || Connection::open(&endpoint.authority, WITHIN);
    let (head, exchange) =
        upstream::request::request(known.connection.take(), open, request).await?;
    let found = head.status.is_success();
    let (page, exchange) = read_all(exchange, MAX_PAGE).await?;
    known.connection = exchange.into_idle();
    Ok(if found { page } else { Bytes::new() })
}

#[cfg(test)]
mod tests {
    use prometheus_client::registry::Registry;
    use qoe_core::endpoint::connector::Connector;
    use qoe_core::endpoint::state::Scheduling;
    use qoe_core::phase::{Role, RoleSource};
    use qoe_discovery::{EndpointConfig, RouteConfig};
    use qoe_runtime::readiness::Readiness;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::task::JoinSet;

    use super::*;
    use crate::observe::metrics::Metrics;
    use crate::routes::source::RouteSource;

    /// A server that has one model, and publishes nothing of itself.
    async fn serve(listener: TcpListener, model: &'static str) {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut head = Vec::new();
            while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
                if head.ends_with(b"\r\n\r\n") {
                    let body = format!(r#"{{"data":[{{"id":"{model}"}}]}}"#);
                    let head_of =
                        format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                    stream.write_all((head_of + &body).as_bytes()).await.unwrap();
                    head.clear();
                }
            }
        }
    }

    /// A pod may serve two routes on two ports.
    #[tokio::test]
    async fn endpoints_of_one_name_are_all_looked_at() {
        let shared = Shared::new(Metrics::register(&mut Registry::default()), 0);
        let mut tasks = JoinSet::new();
        let mut sources = Vec::new();
        for model in ["m", "n"] {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let config = RouteConfig {
                spec: qoe_api::QoERouteSpec::default(),
                created: 0,
                endpoints: vec![EndpointConfig {
                    name: "llm/pod".to_owned(),
                    address: listener.local_addr().unwrap(),
                    role: Role::Mixed,
                    role_source: RoleSource::Unknown,
                    connector: Connector::None,
                    group: None,
                    scheduling: Scheduling::Fcfs,
                }],
            };
            sources.push(Arc::new(RouteSource::of_push(model, config)));
            tasks.spawn(serve(listener, model));
        }
        shared.configure(&sources);
        let readiness = Readiness::new();
        let first = readiness.awaiting("a first look");
        tasks.spawn(run(Arc::clone(&shared), Duration::from_secs(3600), first));
        let looked_at = async {
            while !readiness.ready() {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(WITHIN * 4, looked_at).await.expect("a first look");
        let snapshot = shared.snapshot.load();
        for model in ["m", "n"] {
            assert_eq!(snapshot.route(Some(model)).map(|route| &*route.name).ok(), Some(model));
        }
    }
}
