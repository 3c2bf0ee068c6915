//! The router's admin pages: its configuration, its endpoints, and its latest requests.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::estimate::average::Average;
use qoe_core::estimate::likeness::Likeness;
use qoe_core::memory::RouteMemory;
use qoe_core::phase::Phase;
use qoe_core::speed::pace::Pace;
use qoe_runtime::admin::{Admin, AdminResponse, Query};
use serde_json::{Value, json};

use crate::shared::Shared;

/// Requests that `/debug/requests` lists without `?limit=N`.
const DEFAULT_LIMIT: usize = 100;

/// Adds the router's pages.
pub(crate) fn add(admin: Admin, shared: &Arc<Shared>) -> Admin {
    let page = |page: fn(&Shared, &Query) -> Value| {
        let shared = Arc::clone(shared);
        move |query: &Query| AdminResponse::json(&page(&shared, query))
    };
    admin
        .route("/config_dump", page(config_dump))
        .route("/debug/endpoints", page(endpoints))
        .route("/debug/requests", page(requests))
}

fn config_dump(shared: &Shared, _: &Query) -> Value {
    let snapshot = shared.snapshot.load();
    let routes: Vec<_> = snapshot
        .routes
        .iter()
        .map(|route| {
            json!({
                "name": route.name,
                "spec": route.source.spec,
                "inForce": {
                    "policy": route.policy.as_str(),
                    "minPromptTokens": route.handoff.min_prompt_tokens,
                    "queues": route.queues(),
                },
                "learned": learned_of_route(&route.state.memory),
                "endpoints": route.pool.iter().map(member).collect::<Vec<_>>(),
            })
        })
        .collect();
    json!({"version": snapshot.version, "routes": routes})
}

/// The factors by which the route's TTFT forecasts are corrected, learned from their latest errors.
fn learned_of_route(memory: &RouteMemory) -> Value {
    let [whole, handed_over] = &memory.ttft_bias;
    json!({"ttftForecastTimes": {"whole": whole.factor(), "handedOver": handed_over.factor()}})
}

fn member(endpoint: &Endpoint) -> Value {
    json!({
        "name": endpoint.state.name,
        "authority": endpoint.state.authority,
        "role": endpoint.role,
        "roleSource": endpoint.role_source,
        "connector": endpoint.connector,
        "group": endpoint.group,
        "scheduling": endpoint.state.scheduling(),
    })
}

fn endpoints(shared: &Shared, _: &Query) -> Value {
    let snapshot = shared.snapshot.load();
    let now = shared.now();
    let live = |state: &EndpointState| {
        let average = |average: &Average| {
            average.get(now).map(|known| json!({"value": known.value, "weight": known.weight}))
        };
        let signals = &state.signals;
        json!({
            "name": state.name,
            "authority": state.authority,
            "models": state.served().map(|s| s.iter().map(|m| m.id.clone()).collect::<Vec<_>>()),
            "ejected": state.health.ejected(now),
            "kvTrusted": state.health.trusts_kv(now),
            "inFlight": {
                "prefill": state.ledger.in_flight(Phase::Prefill),
                "decoding": state.ledger.in_flight(Phase::Decoding),
                "prefillTokens": state.ledger.tokens(Phase::Prefill),
                "decodingTokens": state.ledger.tokens(Phase::Decoding),
                "unreadTokens": state.ledger.unread(),
            },
            "model": model(state, now),
            "signals": {
                "ttftSeconds": average(&signals.ttft),
                "itlSeconds": average(&signals.itl),
                "prefillTokensPerSecond": average(&signals.prefill_speed),
                "prefixHitRate": average(&signals.prefix_hit_rate),
                "kvUse": average(&signals.kv_use),
                "running": average(&signals.running),
                "waiting": average(&signals.waiting),
            },
        })
    };
    json!({"endpoints": snapshot.endpoints.iter().map(|state| live(state)).collect::<Vec<_>>()})
}

/// The learned model of an endpoint's speed, and the work that waits there.
fn model(state: &EndpointState, now: Duration) -> Value {
    let Pace { models, prompts, transfers, itl_bias, .. } = &state.pace;
    let [prompt, per_token, per_pair, per_stream] = models.prefill.own().latest();
    let [step, beside, kv] = models.step.own().latest();
    let [transfer, moved] = models.transfer.own().latest();
    let lately = state.pace.lately(now);
    json!({
        "prefill": {
            "learned": learned(&models.prefill),
            "millisecondsPerPrompt": prompt * 1e3,
            "millisecondsPer1000Tokens": per_token * 1e3,
            "millisecondsPerMillionTokenPairs": per_pair * 1e3,
            "millisecondsPer10Streams": per_stream * 1e3,
        },
        "step": {
            "learned": learned(&models.step),
            "millisecondsPerStep": step * 1e3,
            "millisecondsPer10Streams": beside * 1e3,
            "millisecondsPer100000KvTokens": kv * 1e3,
        },
        "transfer": {
            "learned": learned(&models.transfer),
            "millisecondsPerTransfer": transfer * 1e3,
            "millisecondsPer1000Tokens": moved * 1e3,
        },
        "itlCorrection": itl_bias.factor(),
        "promptsWaitSeconds": prompts.wait(now),
        "transfersWaitSeconds": transfers.wait(now),
        "readingShare": lately.reading.seconds,
        "readingStepsPerSecond": lately.reading.steps,
        "promptsPerSecond": lately.arrivals,
    })
}

/// How a model was learned: an endpoint is taken to be a multiple of the others of its route, until the model of its own
/// samples is clearly better.
fn learned<const N: usize>(model: &Likeness<N>) -> Value {
    json!({
        "samples": model.own().samples(),
        "relativeError": model.own().error(),
        "factor": model.factor(),
        "relativeErrorOfCommonModel": model.error(),
        "usesOwnModel": model.prefers_own_model(),
    })
}

/// The latest requests, newest first; `?limit=N` changes how many.
fn requests(shared: &Shared, query: &Query) -> Value {
    json!({"requests": shared.ring.last(query.parsed("limit").unwrap_or(DEFAULT_LIMIT))})
}
