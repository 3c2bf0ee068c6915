//! From sources to a snapshot. Every choice of configuration is resolved here, once, and nothing that serves now is
//! changed: what has to change is said as [`Effects`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use qoe_api as api;
use qoe_core::admit::room::OnUnattainable;
use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::state::{EndpointState, Served};

use crate::routes::effects::Effects;
use crate::routes::route::Route;
use crate::routes::snapshot::Snapshot;
use crate::routes::source::{EndpointSource, RouteSource};
use crate::routes::spec::{handoff, header_rules, policy, targets, timeouts};
use crate::routes::state::RouteState;

/// The snapshot that `sources` describe, and what becomes of live state when it is put into use. It shares the state
/// of the routes and endpoints that are in `previous` too.
pub(crate) fn lower(sources: &[Arc<RouteSource>], previous: &Snapshot) -> (Snapshot, Effects) {
    let mut lowering = Lowering::over(previous);
    let routes = sources.iter().map(|source| lowering.route(source)).collect();
    let Lowering { endpoints, told_models, effects, .. } = lowering;
    (Snapshot::new(previous.version + 1, routes, endpoints, told_models), effects)
}

/// An endpoint's name and authority: while both stay, it is the same one.
type Identity<'a> = (&'a str, &'a str);

fn identity(endpoint: &EndpointSource) -> Identity<'_> {
    (&endpoint.name, &endpoint.authority)
}

struct Lowering<'a> {
    /// The endpoints of the previous snapshot.
    previous: HashMap<Identity<'a>, &'a Arc<EndpointState>>,
    /// The routes of the previous snapshot.
    routes: HashMap<&'a str, &'a Arc<Route>>,
    /// The endpoints of this snapshot.
    states: HashMap<Identity<'a>, Arc<EndpointState>>,
    /// The same, in the order of the sources.
    endpoints: Vec<Arc<EndpointState>>,
    told_models: HashSet<Arc<str>>,
    effects: Effects,
}

impl<'a> Lowering<'a> {
    fn over(previous: &'a Snapshot) -> Self {
        let endpoints = previous.endpoints.iter();
        Self {
            previous: endpoints.map(|state| ((&*state.name, &*state.authority), state)).collect(),
            routes: previous.routes.iter().map(|route| (&*route.name, route)).collect(),
            states: HashMap::new(),
            endpoints: Vec::new(),
            told_models: HashSet::new(),
            effects: Effects::default(),
        }
    }

    fn route(&mut self, source: &'a Arc<RouteSource>) -> Arc<Route> {
        let states = source.endpoints.iter().map(|endpoint| self.endpoint(endpoint));
        let states: Vec<_> = states.collect();
        let kept = self.routes.get(source.name.as_str()).copied();
        if let Some(kept) = kept
            && Arc::ptr_eq(&kept.source, source)
        {
            return Arc::clone(kept);
        }
        let state = kept.map(|kept| Arc::clone(&kept.state));
        let pool = source.endpoints.iter().zip(states).map(member).collect();
        let route = Arc::new(route(source, pool, state));
        if kept.is_some() {
            self.effects.changed_route(&route);
        }
        route
    }

    /// The state of an endpoint: the one that it has already, or a new one.
    fn endpoint(&mut self, source: &'a EndpointSource) -> Arc<EndpointState> {
        let served: Vec<_> = source.models.iter().map(|id| told_model(id)).collect();
        if let Some(state) = self.states.get(&identity(source)) {
            return Arc::clone(state);
        }
        let state = match self.previous.get(&identity(source)) {
            Some(state) => {
                self.effects.changed_endpoint(state, source.scheduling, served);
                Arc::clone(state)
            }
            None => Arc::new(new_endpoint(source, served)),
        };
        if !source.models.is_empty() {
            self.told_models.insert(Arc::clone(&state.name));
        }
        self.endpoints.push(Arc::clone(&state));
        self.states.insert(identity(source), Arc::clone(&state));
        state
    }
}

/// An endpoint that no request knows yet.
fn new_endpoint(source: &EndpointSource, served: Vec<Served>) -> EndpointState {
    let state = EndpointState::new(&source.name, &source.authority);
    state.set_scheduling(source.scheduling);
    if !served.is_empty() {
        state.set_served(served);
    }
    state
}

/// A model that the configuration says an endpoint serves.
fn told_model(id: &str) -> Served {
    let card = serde_json::json!({"id": id, "object": "model", "created": 0, "owned_by": "vllm"});
    Served { id: id.to_owned(), parent: None, card: card.to_string().into() }
}

fn member((source, state): (&EndpointSource, Arc<EndpointState>)) -> Endpoint {
    Endpoint {
        state,
        role: source.role,
        role_source: source.role_source,
        connector: source.connector,
        group: source.group.clone(),
    }
}

/// The route of a source, with the state that it has already or a new one.
fn route(source: &Arc<RouteSource>, pool: Pool, state: Option<Arc<RouteState>>) -> Route {
    let spec = &source.spec;
    let max_queued = spec.limits.max_queued;
    let new_state = || Arc::new(RouteState::new(&source.name, max_queued as usize));
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
        max_queued,
        on_unattainable: match spec.slo.on_unattainable {
            api::OnUnattainable::BestEffort => OnUnattainable::BestEffort,
            api::OnUnattainable::Reject => OnUnattainable::Reject,
        },
        allow_admin_paths: spec.allow_admin_paths.clone(),
        state: state.unwrap_or_else(new_state),
        source: Arc::clone(source),
    }
}
