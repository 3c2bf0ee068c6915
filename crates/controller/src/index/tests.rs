use serde_json::{Value, json};

use super::*;
use crate::pod::tests::{facts, ready};

mod any_order;

const SCOPE: &str = "";

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// A route of the namespace `llm` that selects `app: vllm`, as the API server has it.
pub(crate) fn manifest(name: &str, models: &[&str]) -> Value {
    json!({
        "apiVersion": "qoe-router.io/v1alpha1",
        "kind": "QoERoute",
        "metadata": {
            "name": name,
            "namespace": "llm",
            "uid": format!("uid-of-{name}"),
            "generation": 1,
            "resourceVersion": "100",
            "creationTimestamp": "2026-01-01T00:00:00Z",
        },
        "spec": {
            "models": models,
            "endpoints": {"selector": {"matchLabels": {"app": "vllm"}}},
        },
    })
}

pub(crate) fn raw(manifest: Value) -> RawRoute {
    serde_json::from_value(manifest).unwrap()
}

pub(crate) fn key(name: &str) -> RouteKey {
    RouteKey { namespace: "llm".into(), name: name.into() }
}

fn invalid(mut manifest: Value) -> Value {
    manifest["spec"]["slo"] = json!({"ttftMilliseconds": 0});
    manifest
}

fn created(mut manifest: Value, day: u32) -> Value {
    manifest["metadata"]["creationTimestamp"] = json!(format!("2026-01-{day:02}T00:00:00Z"));
    manifest
}

fn vllm(name: &str, ip: &str) -> PodFacts {
    facts(ready(name, ip, json!({"app": "vllm"})))
}

/// An index with these routes and pods of `llm`, and what it has published.
struct Indexed {
    index: Index,
    world: Arc<World>,
    view: View,
}

impl Indexed {
    fn of(routes: &[Value], pods: &[PodFacts]) -> Self {
        let mut index = Index::new("default");
        for route in routes {
            index.route(raw(route.clone()));
        }
        for pod in pods {
            index.pod("llm", pod.clone());
        }
        let (world, view) = index.publish(ms(0));
        Self { index, world, view }
    }

    fn publish(&mut self, now: Duration) {
        (self.world, self.view) = self.index.publish(now);
    }

    fn outcome(&self, name: &str) -> &RouteOutcome {
        &self.view.routes[&key(name)].1
    }

    /// What is published of a route: its endpoints, or why there are none.
    fn endpoints(&self, name: &str) -> Result<Vec<String>, &'static str> {
        let name: Arc<str> = key(name).to_string().into();
        let state = self.world.routes.get(&name).ok_or("no such route")?;
        let body = state.body.as_ref().ok_or("no state to be had")?;
        let config = qoe_discovery::RouteConfig::decode(body).unwrap();
        Ok(config.endpoints.into_iter().map(|endpoint| endpoint.name).collect())
    }

    fn nonce(&self, name: &str) -> u64 {
        self.world.routes[&*key(name).to_string()].nonce
    }
}

#[test]
fn a_route_is_published_with_the_pods_of_its_namespace() {
    let mut w = Indexed::of(&[manifest("r", &["m"])], &[vllm("a", "10.0.0.1")]);
    w.index.pod("other", vllm("b", "10.0.0.2"));
    w.publish(ms(1));
    assert_eq!(w.endpoints("r").unwrap(), ["llm/a"]);
    assert_eq!(w.outcome("r").acceptance, Acceptance::Accepted);
    assert_eq!((w.view.routes.len(), w.view.pods), (1, 2));
}

#[test]
fn how_urgent_a_change_of_a_pod_is() {
    let with = |change: fn(&mut Value)| {
        let mut pod = ready("a", "10.0.0.1", json!({"app": "vllm"}));
        change(&mut pod);
        Some(facts(pod))
    };
    let there = || with(|_| {});
    let not_ready = || with(|pod| pod["status"]["conditions"][0]["status"] = json!("False"));
    let elsewhere = || with(|pod| pod["metadata"]["labels"] = json!({"app": "web"}));
    let moved = || with(|pod| pod["status"]["podIPs"][0]["ip"] = json!("10.0.0.9"));
    let relabelled = || with(|pod| pod["metadata"]["labels"]["x"] = json!("y"));
    let ends = || with(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z"));
    for (what, before, after, wanted) in [
        ("comes", None, there(), ChangeUrgency::Soon),
        ("comes to nobody", None, elsewhere(), ChangeUrgency::None),
        ("stays as it is", there(), there(), ChangeUrgency::None),
        ("gets another label", there(), relabelled(), ChangeUrgency::Soon),
        ("gets ready", not_ready(), there(), ChangeUrgency::Soon),
        ("is not ready any more", there(), not_ready(), ChangeUrgency::Now),
        ("ends", there(), ends(), ChangeUrgency::Now),
        ("ends after it was not ready", not_ready(), ends(), ChangeUrgency::Soon),
        ("has another address", there(), moved(), ChangeUrgency::Now),
        ("loses its label", there(), elsewhere(), ChangeUrgency::Now),
        ("is gone", there(), None, ChangeUrgency::Now),
        ("is gone that served nobody", elsewhere(), None, ChangeUrgency::None),
        ("is gone that was not ready", not_ready(), None, ChangeUrgency::Soon),
    ] {
        let mut index = Index::new("default");
        index.route(raw(manifest("r", &[])));
        if let Some(before) = before {
            index.pod("llm", before);
        }
        let urgency = match after {
            Some(after) => index.pod("llm", after),
            None => index.pod_gone("llm", "a"),
        };
        assert_eq!(urgency, wanted, "a pod {what}");
    }
}

#[test]
fn only_another_state_gets_another_nonce() {
    let routes = [manifest("r", &["m"]), manifest("s", &["n"])];
    let mut w = Indexed::of(&routes, &[vllm("a", "10.0.0.1")]);
    let before = (w.nonce("r"), w.nonce("s"), w.outcome("r").published);
    assert!(before.0 != before.1 && before.0 > 0);
    let relabelled = facts(ready("a", "10.0.0.1", json!({"app": "vllm", "x": "y"})));
    assert_eq!(w.index.pod("llm", relabelled), ChangeUrgency::Soon);
    w.publish(ms(5));
    assert_eq!((w.nonce("r"), w.nonce("s"), w.outcome("r").published), before);
    let mut slower = manifest("r", &["m"]);
    slower["spec"]["slo"] = json!({"ttftMilliseconds": 900});
    w.index.route(raw(slower));
    w.publish(ms(9));
    assert!(w.nonce("r") > before.1, "nonces are never used again");
    assert_eq!((w.nonce("s"), w.outcome("r").published), (before.1, ms(9)));
}

#[test]
fn a_status_that_changes_is_seen_and_publishes_nothing() {
    let mut w = Indexed::of(&[manifest("r", &["m"])], &[]);
    let mut written = manifest("r", &["m"]);
    written["status"] = json!({"prefill": "1/1", "conditions": []});
    written["metadata"]["resourceVersion"] = json!("101");
    assert_eq!(w.index.route(raw(written)), ChangeUrgency::None);
    let view = w.index.view();
    let route = &view.routes[&key("r")].0;
    assert_eq!(route.observed.prefill.as_deref(), Some("1/1"));
    assert_eq!(route.resource_version, "101");
}

#[test]
fn routes_of_other_classes_are_left_alone_and_one_that_changes_its_class_goes() {
    let classed = |class: &str| {
        let mut route = manifest("r", &["m"]);
        route["spec"]["routerClassName"] = json!(class);
        route
    };
    let mut w = Indexed::of(&[classed("blue")], &[]);
    assert!(w.view.routes.is_empty() && w.world.routes.is_empty());
    assert_eq!(w.index.route(raw(classed("default"))), ChangeUrgency::Soon);
    w.publish(ms(1));
    assert_eq!(w.endpoints("r"), Ok(vec![]));
    assert_eq!(w.index.route(raw(classed("blue"))), ChangeUrgency::Soon);
    w.publish(ms(2));
    assert!(w.view.routes.is_empty() && w.world.routes.is_empty());
}

#[test]
fn of_two_routes_with_one_model_the_older_has_it_until_it_goes() {
    let lost = |model: &str| vec![(model.to_owned(), key("old"))];
    let models = |w: &Indexed, name: &str| {
        let translation = w.outcome(name).translation.as_ref().expect("it is translated");
        translation.config.spec.models.clone()
    };
    let mut w = Indexed::of(
        &[
            created(manifest("a-new", &["m"]), 3),
            created(manifest("b-new", &["m", "n"]), 3),
            created(manifest("old", &["m"]), 2),
        ],
        &[],
    );
    assert_eq!(w.outcome("old").acceptance, Acceptance::Accepted);
    assert_eq!(w.outcome("a-new").acceptance, Acceptance::Conflict(lost("m")));
    assert_eq!(w.outcome("b-new").acceptance, Acceptance::Partly(lost("m")));
    assert_eq!(w.endpoints("a-new"), Err("no such route"), "it would serve nothing");
    assert_eq!(w.outcome("a-new").nonce, 0);
    assert_eq!(models(&w, "b-new"), ["n"]);
    w.index.route_gone(&key("old"));
    w.publish(ms(1));
    assert_eq!(w.outcome("a-new").acceptance, Acceptance::Accepted, "of one age: by name");
    let lost = vec![("m".to_owned(), key("a-new"))];
    assert_eq!(w.outcome("b-new").acceptance, Acceptance::Partly(lost));
    assert_eq!(w.endpoints("a-new"), Ok(vec![]));
}

#[test]
fn models_are_one_namespace_for_all_namespaces() {
    let mut elsewhere = created(manifest("r", &["m"]), 2);
    elsewhere["metadata"]["namespace"] = json!("other");
    let w = Indexed::of(&[created(manifest("r", &["m"]), 3), elsewhere], &[]);
    let owner = RouteKey { namespace: "other".into(), name: "r".into() };
    let conflict = Acceptance::Conflict(vec![("m".to_owned(), owner)]);
    assert_eq!(w.outcome("r").acceptance, conflict);
}

#[test]
fn a_route_that_turns_invalid_is_served_by_its_last_good_spec_and_the_pods_of_now() {
    let good = created(manifest("r", &["m"]), 2);
    let rival = created(manifest("s", &["m"]), 3);
    let mut w = Indexed::of(&[good.clone(), rival], &[vllm("a", "10.0.0.1")]);
    w.index.route(raw(invalid(good.clone())));
    w.publish(ms(1));
    let Acceptance::Invalid(why) = &w.outcome("r").acceptance else { panic!("it is invalid") };
    assert!(why.starts_with("spec.slo.ttftMilliseconds: 0 is out of range"), "{why}");
    assert_eq!(w.endpoints("r").unwrap(), ["llm/a"]);
    assert!(matches!(w.outcome("s").acceptance, Acceptance::Conflict(_)), "it keeps its model");
    assert_eq!(w.index.pod("llm", vllm("b", "10.0.0.2")), ChangeUrgency::Soon);
    assert_eq!(w.index.pod_gone("llm", "a"), ChangeUrgency::Now);
    w.publish(ms(2));
    assert_eq!(w.endpoints("r").unwrap(), ["llm/b"], "a pod that is gone serves nobody");
    w.index.route(raw(good));
    w.publish(ms(3));
    assert_eq!(w.outcome("r").acceptance, Acceptance::Accepted);
}

#[test]
fn of_a_route_that_was_never_good_routers_keep_what_they_have() {
    let mut unreadable = manifest("r", &["m"]);
    unreadable["spec"]["endpoints"] = json!(7);
    let mut nobody = manifest("s", &["n"]);
    nobody["spec"]["endpoints"] = json!({});
    let mut w = Indexed::of(&[unreadable, nobody], &[vllm("a", "10.0.0.1")]);
    for (name, why) in
        [("r", "spec cannot be read: "), ("s", "spec.endpoints.selector.matchLabels: ")]
    {
        let Acceptance::Invalid(told) = &w.outcome(name).acceptance else { panic!("{name}") };
        assert!(told.starts_with(why), "{told}");
        assert_eq!(w.endpoints(name), Err("no state to be had"));
        assert_eq!(w.outcome(name).nonce, 0);
    }
    w.index.route(raw(manifest("r", &["m"])));
    w.publish(ms(1));
    assert_eq!(w.endpoints("r").unwrap(), ["llm/a"]);
}

#[test]
fn a_namesake_does_not_inherit_the_state_of_a_route_that_is_gone() {
    let mut w = Indexed::of(&[manifest("r", &["m"])], &[vllm("a", "10.0.0.1")]);
    let mut namesake = invalid(manifest("r", &["m"]));
    namesake["metadata"]["uid"] = json!("another");
    w.index.route(raw(namesake));
    w.publish(ms(1));
    assert_eq!(w.endpoints("r"), Err("no such route"));
    assert!(w.outcome("r").translation.is_none());
}

#[test]
fn a_whole_list_takes_away_what_is_not_in_it_in_its_scope() {
    let elsewhere = |mut route: Value| {
        route["metadata"]["namespace"] = json!("other");
        route
    };
    let routes = [manifest("r", &[]), manifest("s", &[]), elsewhere(manifest("r", &[]))];
    let mut w = Indexed::of(&routes, &[vllm("a", "10.0.0.1"), vllm("b", "10.0.0.2")]);
    w.index.pod("other", vllm("a", "10.0.0.3"));
    let pods = HashSet::from([("llm".to_owned(), "b".into())]);
    assert_eq!(w.index.only_pods("llm", &pods), ChangeUrgency::Now);
    assert_eq!(w.index.only_routes("llm", &HashSet::from([key("r")])), ChangeUrgency::Soon);
    w.publish(ms(1));
    assert_eq!(w.endpoints("r").unwrap(), ["llm/b"]);
    assert_eq!((w.view.routes.len(), w.view.pods), (2, 2), "another scope is not touched");
    assert_eq!(w.index.only_pods(SCOPE, &pods), ChangeUrgency::Now);
    assert_eq!(w.index.only_pods(SCOPE, &pods), ChangeUrgency::None);
    assert_eq!(w.index.only_routes(SCOPE, &HashSet::new()), ChangeUrgency::Soon);
    w.publish(ms(2));
    assert_eq!((w.world.routes.len(), w.view.pods), (0, 1));
}

#[test]
fn versions_only_grow_and_each_scope_has_its_own() {
    let mut index = Index::new("default");
    let v = |pods, routes| Version { pods, routes };
    let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
    for (scope, version) in [(&a, v(5, 0)), (&a, v(0, 7)), (&a, v(3, 3)), (&b, v(1, 1))] {
        index.read_up_to(scope, &version);
    }
    let (world, _) = index.publish(ms(0));
    assert_eq!((world.version("a/r"), world.version("b/r")), (v(5, 7), v(1, 1)));
}
