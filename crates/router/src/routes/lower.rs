//! From the document to what serves: every choice of configuration is resolved here, once.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use http::HeaderName;
use qoe_api as api;
use qoe_core::admit::queue::OnUnattainable;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::{Endpoint, EndpointState, Served};
use qoe_core::flight::qoe::Target;
use qoe_core::plan::policy::{Policy, Weights};
use qoe_core::plan::{HandoffMode, HandoffRule, Predictive};
use qoe_core::request::analyze::HeaderRules;

use super::snapshot::{Route, RouteState, Snapshot, Targets, Timeouts};
use crate::observe::metrics::Metrics;
use crate::routes::source::{EndpointSource, RouteSource};

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

fn route(
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

fn policy(policy: &api::Policy) -> Policy {
    match policy.kind {
        api::PolicyType::Predictive => {
            let api::Predictive { cross_phase } = policy.predictive.clone().unwrap_or_default();
            Policy::Predictive(Predictive { cross_phase })
        }
        api::PolicyType::Weighted => {
            Policy::Weighted(weights(&policy.weights.clone().unwrap_or_default()))
        }
        api::PolicyType::RoundRobin => Policy::RoundRobin,
        api::PolicyType::LeastRequest => Policy::LeastRequest,
        api::PolicyType::PowerOfTwo => Policy::PowerOfTwo,
        api::PolicyType::PrefixAffinity => Policy::PrefixAffinity,
    }
}

/// Shorter prompts are not handed over by policies that do not forecast whether it pays.
const MIN_PROMPT_TOKENS: u32 = 512;

fn handoff(handoff: &api::Handoff, policy: Policy) -> HandoffRule {
    let default = match policy {
        Policy::Predictive(_) => 0,
        _ => MIN_PROMPT_TOKENS,
    };
    HandoffRule {
        mode: match handoff.mode {
            api::HandoffMode::Auto => HandoffMode::Auto,
            api::HandoffMode::Always => HandoffMode::Always,
            api::HandoffMode::Never => HandoffMode::Never,
        },
        min_prompt_tokens: u64::from(handoff.min_prompt_tokens.unwrap_or(default)),
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
