//! From the document to what serves: every choice of configuration is resolved here, once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use qoe_api as api;
use qoe_core::admit::room::OnUnattainable;
use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::state::{EndpointState, Served};

use crate::observe::metrics::Metrics;
use crate::routes::route::Route;
use crate::routes::snapshot::Snapshot;
use crate::routes::source::{EndpointSource, RouteSource};
use crate::routes::spec::{handoff, header_rules, policy, targets, timeouts};
use crate::routes::state::RouteState;

/// An endpoint's name and authority: while both stay, it is the same one.
type Identity<'a> = (&'a str, &'a str);

pub(super) fn snapshot(
    sources: &[Arc<RouteSource>],
    previous: &Snapshot,
    metrics: &Metrics,
) -> Snapshot {
    let mut known: HashMap<Identity<'_>, Arc<EndpointState>> = previous
        .endpoints
        .iter()
        .map(|state| ((&*state.name, &*state.authority), Arc::clone(state)))
        .collect();
    let before: HashMap<&str, &Arc<Route>> =
        previous.routes.iter().map(|route| (&*route.name, route)).collect();
    let mut endpoints: Vec<Arc<EndpointState>> = Vec::new();
    let mut seen: HashSet<Identity<'_>> = HashSet::new();
    let mut told_models = HashSet::new();
    let mut routes = Vec::with_capacity(sources.len());
    for source in sources {
        for endpoint in &source.endpoints {
            let identity = (endpoint.name.as_str(), endpoint.authority.as_str());
            let state = known.entry(identity).or_insert_with(|| {
                Arc::new(EndpointState::new(&endpoint.name, &endpoint.authority))
            });
            state.set_scheduling(endpoint.scheduling);
            if !endpoint.models.is_empty() {
                state.set_served(endpoint.models.iter().map(|id| named_model(id)).collect());
                told_models.insert(Arc::clone(&state.name));
            }
            if seen.insert(identity) {
                endpoints.push(Arc::clone(state));
            }
        }
        let kept = before.get(source.name.as_str()).copied();
        routes.push(match kept {
            Some(kept) if Arc::ptr_eq(&kept.source, source) => Arc::clone(kept),
            kept => Arc::new(route(source, &known, kept, metrics)),
        });
    }
    let mut by_model = HashMap::new();
    for (i, route) in routes.iter().enumerate() {
        for model in &route.models {
            by_model.entry(model.clone()).or_insert(i);
        }
    }
    Snapshot { version: previous.version + 1, routes, endpoints, told_models, by_model }
}

/// A model that the configuration says an endpoint serves.
fn named_model(id: &str) -> Served {
    let card = serde_json::json!({"id": id, "object": "model", "created": 0, "owned_by": "vllm"});
    Served { id: id.to_owned(), parent: None, card: card.to_string().into() }
}

pub(crate) fn route(
    source: &Arc<RouteSource>,
    states: &HashMap<Identity<'_>, Arc<EndpointState>>,
    kept: Option<&Arc<Route>>,
    metrics: &Metrics,
) -> Route {
    let spec = &source.spec;
    let max_queued = usize::try_from(spec.limits.max_queued).unwrap_or(usize::MAX);
    let new = || Arc::new(RouteState::new(metrics.of_route(&source.name), max_queued));
    let member = |endpoint: &EndpointSource| {
        let state = states.get(&(endpoint.name.as_str(), endpoint.authority.as_str()))?;
        Some(Endpoint {
            state: Arc::clone(state),
            role: endpoint.role,
            role_source: endpoint.role_source,
            connector: endpoint.connector,
            group: endpoint.group.clone(),
        })
    };
    let pool: Pool = source.endpoints.iter().filter_map(member).collect();
    let state = match kept {
        Some(kept) => {
            kept.state.admission.set_most(max_queued);
            kept.state.memory.prefixes().retain(|tag| pool.of_tag(tag).is_some());
            Arc::clone(&kept.state)
        }
        None => new(),
    };
    let policy = policy(&spec.policy);
    Route {
        name: source.name.as_str().into(),
        models: spec.models.clone(),
        pool,
        policy,
        handoff: handoff(&spec.handoff, policy),
        headers: header_rules(&spec.headers),
        targets: targets(&spec.slo),
        timeouts: timeouts(&spec.timeouts),
        max_body_bytes: usize::try_from(spec.limits.max_body_bytes).unwrap_or(usize::MAX),
        max_in_flight: spec.limits.max_in_flight,
        max_queued: spec.limits.max_queued,
        on_unattainable: match spec.slo.on_unattainable {
            api::OnUnattainable::BestEffort => OnUnattainable::BestEffort,
            api::OnUnattainable::Reject => OnUnattainable::Reject,
        },
        allow_admin_paths: spec.allow_admin_paths.clone(),
        state,
        source: Arc::clone(source),
    }
}
