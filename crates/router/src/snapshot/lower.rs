//! From the document to what serves: every choice of configuration is resolved here, once.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use qoe_api as api;
use qoe_api::standalone::{EndpointSpec, NamedRoute, StandaloneConfig};
use qoe_core::analyze::HeaderRules;
use qoe_core::connector::Connector;
use qoe_core::endpoint::{self, Endpoint, EndpointState, Served};
use qoe_core::phase::PhaseRules;
use qoe_core::plan::{HandoffMode, HandoffRule};
use qoe_core::policy::{Policy, Weights};
use qoe_core::qoe::Target;

use super::{Route, RouteState, Snapshot, Targets, Timeouts};
use crate::metrics::Metrics;

pub(super) fn snapshot(
    source: StandaloneConfig,
    previous: &Snapshot,
    metrics: &Metrics,
) -> Snapshot {
    let endpoints: Vec<_> = source.endpoints.iter().map(|spec| state(spec, previous)).collect();
    let routes: Vec<_> = source
        .routes
        .iter()
        .map(|named| {
            let pool = pool(&named.spec, &source, &endpoints);
            Arc::new(route(named, pool, previous, metrics))
        })
        .collect();
    let by_model = routes
        .iter()
        .enumerate()
        .flat_map(|(i, route)| route.models.iter().map(move |model| (model.clone(), i)))
        .collect();
    Snapshot { version: previous.version + 1, routes, endpoints, by_model, source }
}

/// The live state of an endpoint: kept while its name and address stay.
fn state(spec: &EndpointSpec, previous: &Snapshot) -> Arc<EndpointState> {
    let authority = spec.url.authority();
    let kept = previous
        .endpoints
        .iter()
        .find(|state| *state.name == spec.name && *state.authority == authority);
    let state =
        kept.map_or_else(|| Arc::new(EndpointState::new(&spec.name, &authority)), Arc::clone);
    if !spec.models.is_empty() {
        state.set_served(spec.models.iter().map(|model| named_model(model)).collect());
    }
    state
}

/// A model that the file says an endpoint serves.
fn named_model(id: &str) -> Served {
    let card = serde_json::json!({"id": id, "object": "model", "created": 0, "owned_by": "vllm"});
    Served { id: id.to_owned(), parent: None, card: card.to_string().into() }
}

fn route(named: &NamedRoute, pool: Vec<Endpoint>, previous: &Snapshot, metrics: &Metrics) -> Route {
    let spec = &named.spec;
    let kept = previous.routes.iter().find(|route| *route.name == *named.name);
    let new = || Arc::new(RouteState::new(metrics.of_route(&named.name)));
    Route {
        name: named.name.as_str().into(),
        models: spec.models.clone(),
        pool,
        policy: policy(&spec.policy),
        handoff: HandoffRule {
            mode: match spec.handoff.mode {
                api::HandoffMode::Auto => HandoffMode::Auto,
                api::HandoffMode::Always => HandoffMode::Always,
                api::HandoffMode::Never => HandoffMode::Never,
            },
            min_prompt_tokens: u64::from(spec.handoff.min_prompt_tokens),
        },
        headers: header_rules(&spec.headers),
        targets: targets(&spec.slo),
        timeouts: timeouts(&spec.timeouts),
        max_body_bytes: usize::try_from(spec.limits.max_body_bytes).unwrap_or(usize::MAX),
        max_in_flight: spec.limits.max_in_flight,
        allow_admin_paths: spec.allow_admin_paths.clone(),
        state: kept.map_or_else(new, |kept| Arc::clone(&kept.state)),
    }
}

/// The endpoints that a route selects.
fn pool(
    spec: &api::QoERouteSpec,
    source: &StandaloneConfig,
    states: &[Arc<EndpointState>],
) -> Vec<Endpoint> {
    let wanted = &spec.endpoints.selector.match_labels;
    let selected = |endpoint: &EndpointSpec| {
        wanted.iter().all(|(key, value)| endpoint.labels.get(key) == Some(value))
    };
    let endpoints = source.endpoints.iter().zip(states).filter(|(e, _)| selected(e));
    endpoints.map(|(endpoint, state)| member(spec, endpoint, state)).collect()
}

fn member(
    spec: &api::QoERouteSpec,
    endpoint: &EndpointSpec,
    state: &Arc<EndpointState>,
) -> Endpoint {
    let rules = &spec.endpoints.phase;
    let rules = PhaseRules {
        labels: rules.labels.clone(),
        prefill_tags: rules.prefill_tags.clone(),
        decoding_tags: rules.decoding_tags.clone(),
    };
    let names = [endpoint.name.as_str(), endpoint.url.host()];
    let (role, role_source) = rules.role(&endpoint.labels, &endpoint.tags, &names);
    Endpoint {
        state: Arc::clone(state),
        role,
        role_source,
        connector: match spec.connector {
            // NIXL is what vLLM's own recipes use; an endpoint that answers without parameters is not handed
            // from again for a while.
            api::Connector::Auto | api::Connector::NixlPull => Connector::NixlPull,
            api::Connector::None => Connector::None,
        },
        group: endpoint::group(&endpoint.labels),
    }
}

fn policy(policy: &api::Policy) -> Policy {
    match policy.kind {
        api::PolicyType::Weighted => {
            Policy::Weighted(weights(&policy.weights.clone().unwrap_or_default()))
        }
        api::PolicyType::RoundRobin => Policy::RoundRobin,
        api::PolicyType::LeastRequest => Policy::LeastRequest,
        api::PolicyType::PowerOfTwo => Policy::PowerOfTwo,
    }
}

fn weights(weights: &api::Weights) -> Weights {
    let api::Weights { prefill, decoding, references } = weights;
    Weights {
        prefill_ttft: prefill.ttft,
        prefill_prefix_miss: prefill.prefix_miss,
        prefill_queue: prefill.queue,
        decoding_itl: decoding.itl,
        decoding_tps: decoding.tps,
        decoding_queue: decoding.queue,
        ttft_reference: f64::from(references.ttft_milliseconds) / 1e3,
        itl_reference: f64::from(references.itl_milliseconds) / 1e3,
        tps_reference: f64::from(references.tokens_per_second),
        prefill_queue_reference: f64::from(references.prefill_queue),
        decoding_queue_reference: f64::from(references.decoding_queue),
    }
}

/// Names were validated with the document; a default stands in for one that was not.
fn header_rules(headers: &api::Headers) -> HeaderRules {
    let default = HeaderRules::default();
    let name = |name: &str, default: HeaderName| name.parse().unwrap_or(default);
    HeaderRules {
        priority: name(&headers.priority, default.priority),
        expected_output: name(&headers.expected_output_tokens, default.expected_output),
        sla_target: name(&headers.sla_target, default.sla_target),
        sla_target_alias: default.sla_target_alias,
        itl_target: default.itl_target,
        session: name(&headers.session, default.session),
    }
}

fn targets(slo: &api::Slo) -> Targets {
    let of = |over: Option<&api::SloOverride>| {
        let ttft = over.and_then(|o| o.ttft_milliseconds).unwrap_or(slo.ttft_milliseconds);
        let itl = over.and_then(|o| o.itl_milliseconds).unwrap_or(slo.itl_milliseconds);
        Target { ttft: millis(ttft), itl: millis(itl) }
    };
    let api::SloByPriority { high, medium, low } = &slo.by_priority;
    Targets { high: of(high.as_ref()), medium: of(medium.as_ref()), low: of(low.as_ref()) }
}

fn timeouts(timeouts: &api::Timeouts) -> Timeouts {
    let seconds = |s: u32| Duration::from_secs(u64::from(s));
    Timeouts {
        connect: millis(timeouts.connect_milliseconds),
        first_token: seconds(timeouts.first_token_seconds),
        prefill: seconds(timeouts.prefill_seconds),
        idle: seconds(timeouts.idle_seconds),
        answer: seconds(timeouts.answer_seconds),
    }
}

fn millis(ms: u32) -> Duration {
    Duration::from_millis(u64::from(ms))
}
