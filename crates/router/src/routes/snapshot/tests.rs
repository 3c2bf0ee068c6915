use std::time::Duration;

use http::HeaderMap;
use prometheus_client::registry::Registry;
use qoe_core::endpoint::state::Served;
use qoe_core::request::analyze::HeaderRules;

use super::*;
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

fn snapshot(file: &str, previous: &Snapshot) -> Snapshot {
    let metrics = Metrics::register(&mut Registry::default());
    let file = qoe_api::standalone::load(file).expect("a good file");
    Snapshot::of(&RouteSource::of_file(&file), previous, &metrics)
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
    assert!(matches!(route("sql-lora"), Err(Failure::UnknownModel { .. })));
    snapshot.endpoints[1]
        .set_served(vec![served("llama", None), served("sql-lora", Some("llama"))]);
    assert_eq!(route("sql-lora").expect("an adapter of a named model"), "llama");
    assert!(matches!(snapshot.route(None), Err(Failure::NoModel { .. })));
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
    assert!(matches!(Snapshot::default().route(Some("x")), Err(Failure::NotConfigured)));
}

#[test]
fn prompt_tokens_are_estimated_by_what_endpoints_counted() {
    let state = RouteState::new(Metrics::register(&mut Registry::default()).of_route("r"), 9);
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
