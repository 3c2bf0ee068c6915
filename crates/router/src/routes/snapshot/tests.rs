use std::time::Duration;

use http::HeaderMap;
use qoe_core::admit::ask::Ask;
use qoe_core::endpoint::state::{Scheduling, Served};
use qoe_core::request::analyze::{HeaderRules, Priority};

use super::*;
use crate::clock::Clock;
use crate::queue::place::QueuePlace;
use crate::routes::effects::Effects;
use crate::routes::lower::lower;
use crate::routes::state::RouteState;

const FILE: &str = r#"
apiVersion: qoe-router.io/v1alpha1
kind: QoERoute
metadata: {name: llama}
spec:
  models: [llama]
  endpoints: {selector: {matchLabels: {app: llama}}}
  slo: {ttftMilliseconds: 400, byPriority: {High: {ttftMilliseconds: 100}}}
---
apiVersion: qoe-router.io/v1alpha1
kind: QoERoute
metadata: {name: any}
spec: {endpoints: {selector: {matchLabels: {app: any}}}, allowAdminPaths: [/sleep]}
---
apiVersion: qoe-router.io/v1alpha1
kind: EndpointList
endpoints:
- {name: p0, url: "http://127.0.0.1:8100", labels: {app: llama, llm-d.ai/role: prefill}}
- {name: d0, url: "http://127.0.0.1:8200", labels: {app: llama}, tags: [decoding]}
- {name: x0, url: "http://127.0.0.1:8300", labels: {app: any}, models: [mistral]}
"#;

fn lowered(file: &str, previous: &Snapshot) -> (Snapshot, Effects) {
    let file = qoe_api::standalone::load(file).expect("a good file");
    lower(&RouteSource::of_file(&file), previous)
}

/// The snapshot of a file, put into use after `previous`.
fn snapshot(file: &str, previous: &Snapshot) -> Snapshot {
    let (snapshot, effects) = lowered(file, previous);
    effects.apply();
    snapshot.index_models();
    snapshot
}

fn served(id: &str, parent: Option<&str>) -> Served {
    Served {
        id: id.into(),
        parent: parent.map(Into::into),
        card: format!("{{\"id\":\"{id}\"}}").into(),
    }
}

#[test]
fn routes_get_the_endpoints_they_select_with_their_phase() {
    let snapshot = snapshot(FILE, &Snapshot::default());
    let names = |i: usize| -> Vec<_> {
        snapshot.routes[i]
            .pool
            .iter()
            .map(|e| (e.state.name.to_string(), e.role.as_str()))
            .collect()
    };
    assert_eq!(names(0), [("p0".into(), "prefill"), ("d0".into(), "decoding")]);
    assert_eq!(names(1), [("x0".into(), "mixed")]);
    assert_eq!(snapshot.routes[0].targets.high.ttft, Duration::from_millis(100));
    assert_eq!(snapshot.routes[0].targets.low.ttft, Duration::from_millis(400));
}

#[test]
fn models_find_their_route_by_name_by_service_and_by_adapter() {
    let snapshot = snapshot(FILE, &Snapshot::default());
    let route = |model| snapshot.route(Some(model)).map(|route| route.name.to_string());
    assert_eq!(route("llama").expect("named"), "llama");
    assert_eq!(route("mistral").expect("served"), "any");
    assert!(matches!(route("sql-lora"), Err(NoRoute::UnknownModel { .. })));
    snapshot.endpoints[1]
        .set_served(vec![served("llama", None), served("sql-lora", Some("llama"))]);
    snapshot.index_models();
    assert_eq!(route("sql-lora").expect("an adapter of a named model"), "llama");
    assert!(matches!(snapshot.route(None), Err(NoRoute::ModelMissing { .. })));
    assert_eq!(snapshot.route_allowing("/sleep").map(|r| &*r.name), Some("any"));
    assert!(snapshot.route_allowing("/wake_up").is_none());
}

#[test]
fn models_are_merged_and_only_those_that_can_be_asked_for() {
    let snapshot = snapshot(FILE, &Snapshot::default());
    for i in 0..2 {
        let hidden = served("not-of-this-route", None);
        snapshot.endpoints[i].set_served(vec![served("llama", None), hidden]);
    }
    snapshot.index_models();
    let ids: Vec<_> = snapshot.models().into_iter().map(|(id, _)| id).collect();
    assert_eq!(ids, ["llama", "mistral"]);
}

#[test]
fn state_is_kept_over_a_reload_while_name_and_address_stay() {
    let first = snapshot(FILE, &Snapshot::default());
    let second = snapshot(&FILE.replace("8200", "8201"), &first);
    assert_eq!(second.version, 2);
    assert!(Arc::ptr_eq(&first.endpoints[0], &second.endpoints[0]));
    assert!(!Arc::ptr_eq(&first.endpoints[1], &second.endpoints[1]), "another address");
    assert!(Arc::ptr_eq(&first.routes[0].state, &second.routes[0].state));
}

#[test]
fn before_the_first_configuration_nothing_is_served() {
    assert!(matches!(Snapshot::default().route(Some("x")), Err(NoRoute::NotConfigured)));
}

#[test]
fn prompt_tokens_are_estimated_by_what_endpoints_counted() {
    let state = RouteState::new("r", 9);
    let rules = HeaderRules::default();
    let body = format!(r#"{{"model":"m","prompt":"{}"}}"#, "x".repeat(8000));
    let analysis = qoe_core::request::analyze::analyze(
        qoe_core::request::analyze::Api::Completions,
        &HeaderMap::new(),
        body.as_bytes(),
        &rules,
    )
    .expect("a good body");
    assert_eq!(state.prompt_tokens(&analysis) / 100, 20);
    (0..100).for_each(|_| state.counted(8000, 4000));
    assert_eq!(state.prompt_tokens(&analysis) / 100, 40);
}

#[test]
fn short_prompts_stay_whole_only_by_policies_that_do_not_forecast() {
    let handoff = |spec: &str| {
        let file = FILE.replace("  models: [llama]", &format!("  models: [llama]\n{spec}"));
        snapshot(&file, &Snapshot::default()).routes[0].handoff.min_prompt_tokens
    };
    assert_eq!(handoff(""), 0);
    assert_eq!(handoff("  policy: {type: LeastRequest}"), 512);
    assert_eq!(handoff("  policy: {type: Weighted}\n  handoff: {minPromptTokens: 7}"), 7);
    assert_eq!(handoff("  handoff: {minPromptTokens: 7}"), 7);
}

#[test]
fn requests_wait_by_forecast_or_for_a_place_and_nowhere_else() {
    let queues = |spec: &str| {
        let file = FILE.replace("  models: [llama]", &format!("  models: [llama]\n{spec}"));
        let snapshot = snapshot(&file, &Snapshot::default());
        (snapshot.routes[0].queues(), snapshot.routes[0].max_queued)
    };
    assert_eq!(queues(""), (true, 1024));
    assert_eq!(queues("  limits: {maxQueued: 0, maxInFlight: 3}"), (false, 0));
    assert_eq!(queues("  policy: {type: RoundRobin}"), (false, 1024));
    assert_eq!(queues("  policy: {type: RoundRobin}\n  limits: {maxInFlight: 3}"), (true, 1024));
}

#[test]
fn an_endpoint_that_is_gone_is_forgotten_with_its_cache() {
    let first = snapshot(FILE, &Snapshot::default());
    let route = &first.routes[0];
    let [stays, goes] = [0, 1].map(|i: usize| route.pool[i].state.tag);
    for tag in [stays, goes] {
        route.state.memory.prefixes().insert(tag, &[1, 2, 3]);
    }
    let second = snapshot(&FILE.replace("8200", "8201"), &first);
    let held = second.routes[0].state.memory.prefixes().held(&[1, 2, 3], []);
    assert_eq!(held.some.into_vec(), [(stays, 3)]);
}

#[test]
fn building_a_snapshot_changes_nothing_that_serves() {
    let first = snapshot(FILE, &Snapshot::default());
    let [llama, any] = [0, 1].map(|i: usize| &first.routes[i]);
    let gone = llama.pool[1].state.tag;
    llama.state.memory.prefixes().insert(gone, &[1, 2, 3]);
    let changed = FILE
        .replace("8200", "8201")
        .replace("models: [mistral]", "models: [qwen], scheduling: Priority")
        .replace("models: [llama]", "models: [llama]\n  limits: {maxQueued: 0}");
    let (second, effects) = lowered(&changed, &first);
    let endpoint = &any.pool[0].state;
    let held = || llama.state.memory.prefixes().held(&[1, 2, 3], []).some.into_vec();
    assert!(endpoint.serves("mistral") && !endpoint.serves("qwen"));
    assert_eq!(endpoint.scheduling(), Scheduling::Fcfs);
    assert_eq!(held(), [(gone, 3)]);
    assert!(queues(llama), "the queue is as long as it was");
    effects.apply();
    second.index_models();
    assert!(endpoint.serves("qwen") && !endpoint.serves("mistral"));
    assert_eq!(endpoint.scheduling(), Scheduling::Priority);
    assert_eq!(held(), []);
    assert!(!queues(llama), "the queue is closed");
    assert_eq!(second.route(Some("qwen")).map(|route| &*route.name), Ok("any"));
}

/// Whether a request could enter the route's queue.
fn queues(route: &Route) -> bool {
    let ask = Ask {
        priority: Priority::Low,
        arrived: Duration::ZERO,
        within: Duration::from_secs(1),
        needs: Duration::ZERO,
    };
    QueuePlace::enter(&route.state.admission, Clock::start(), ask, 1).is_ok()
}

/// 1,000 endpoints, each with a base model, which the first route names, and nine adapters of its own.
fn many_models() -> Snapshot {
    let endpoint = |i| {
        format!("- {{name: e{i}, url: \"http://10.0.0.1:{}\", labels: {{app: llama}}}}\n", 1000 + i)
    };
    let endpoints: String = (0..1000).map(endpoint).collect();
    let head = FILE.split("- {name").next().expect("endpoints come last");
    let snapshot = snapshot(&(head.to_owned() + &endpoints), &Snapshot::default());
    for (i, endpoint) in snapshot.endpoints.iter().enumerate() {
        let adapters = (0..9).map(|j| served(&format!("a{i}-{j}"), Some("llama")));
        endpoint.set_served([served("llama", None)].into_iter().chain(adapters).collect());
    }
    snapshot
}

#[test]
fn no_endpoint_is_looked_at_to_find_a_route() {
    let snapshot = many_models();
    let found = |model: &str| snapshot.route(Some(model)).is_ok();
    assert!(found("llama") && !found("a999-8"), "only the index is asked");
    snapshot.index_models();
    assert_eq!(snapshot.models.load().len(), 9001);
    assert!(found("a0-0") && found("a999-8") && !found("a999-9"));
    snapshot.endpoints[999].set_served(Vec::new());
    assert!(found("a999-8"), "until the list is indexed");
    snapshot.index_models();
    assert!(!found("a999-8") && found("a998-8"));
}

#[test]
fn an_error_lists_some_of_the_models_of_many() {
    let snapshot = many_models();
    snapshot.index_models();
    let Err(NoRoute::UnknownModel { known, .. }) = snapshot.route(Some("x")) else { panic!() };
    assert_eq!(known.to_string(), "llama", "those that routes name, where any does");
}
