use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::*;
use crate::pod::tests::facts;

/// A route and the pods of its namespace.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    spec: QoERouteSpec,
    #[serde(default)]
    created: i64,
    #[serde(default)]
    lost: Vec<String>,
    pods: Vec<Value>,
}

impl Case {
    fn translate(self) -> Translation {
        let Self { spec, created, lost, pods } = self;
        let pods = pods.into_iter().map(facts).map(|pod| (Arc::clone(&pod.name), pod));
        let pods: BTreeMap<Arc<str>, PodFacts> = pods.collect();
        let route = RouteInput { namespace: "llm", created, spec: &spec, lost: &lost };
        translate(route, pods.values())
    }
}

/// Everything that a translation says; of the spec, what is not as it is without a word.
fn shown(translation: &Translation) -> Value {
    let Translation { config, prefill, decoding, selected, findings } = translation;
    let fields = |spec: &QoERouteSpec| match serde_json::to_value(spec) {
        Ok(Value::Object(fields)) => fields,
        other => panic!("a spec has fields: {other:?}"),
    };
    let default = fields(&QoERouteSpec::default());
    let spec: Map<_, _> = fields(&config.spec)
        .into_iter()
        .filter(|(field, value)| default.get(field) != Some(value))
        .collect();
    let endpoint = |endpoint: &EndpointConfig| {
        json!({
            "name": endpoint.name,
            "address": endpoint.address.to_string(),
            "role": endpoint.role,
            "by": endpoint.role_source,
            "connector": endpoint.connector,
            "group": endpoint.group,
        })
    };
    let found: Map<_, _> = [
        ("phaseUnknown", &findings.phase_unknown),
        ("portMissing", &findings.port_missing),
        ("addressBad", &findings.address_bad),
        ("connectorUnknown", &findings.connector_unknown),
        ("schedulingUnknown", &findings.scheduling_unknown),
    ]
    .into_iter()
    .filter(|(_, pods)| pods.count > 0)
    .map(|(what, pods)| (what.to_owned(), pods.names().into()))
    .collect();
    json!({
        "spec": spec,
        "created": config.created,
        "endpoints": config.endpoints.iter().map(endpoint).collect::<Vec<_>>(),
        "prefill": format!("{}/{}", prefill.ready, prefill.total),
        "decoding": format!("{}/{}", decoding.ready, decoding.total),
        "selected": selected,
        "found": found,
    })
}

fn golden() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden")
}

/// Each `golden/NAME.yaml` becomes `golden/NAME.json`. With `UPDATE_GOLDEN=1` these are written; read the difference.
#[test]
fn routes_over_pods_become_what_the_golden_files_say() {
    let mut cases = 0;
    for entry in fs::read_dir(golden()).unwrap() {
        let input = entry.unwrap().path();
        if input.extension().is_none_or(|extension| extension != "yaml") {
            continue;
        }
        cases += 1;
        let case: Case = serde_saphyr::from_str(&fs::read_to_string(&input).unwrap())
            .unwrap_or_else(|error| panic!("{}: {error}", input.display()));
        let translation = case.translate();
        let decoded = RouteConfig::decode(&translation.config.encode());
        assert_eq!(decoded.unwrap(), translation.config, "routers read it as it is meant");
        let got = format!("{:#}\n", shown(&translation));
        let output = input.with_extension("json");
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            fs::write(&output, &got).unwrap();
        }
        let wanted = fs::read_to_string(&output).unwrap_or_default();
        assert!(got == wanted, "{} should say:\n{got}", output.display());
    }
    assert!(cases >= 8, "{cases} cases");
}

#[test]
fn the_routes_word_on_connectors_comes_before_the_pods() {
    let nixl = Declared::Known(Connector::NixlPull);
    let none = Declared::Known(Connector::None);
    let other = Declared::Unknown("MooncakeConnector".into());
    for (wanted, declared, connector, odd) in [
        (Wanted::Auto, &Declared::Nothing, Connector::NixlPull, 0),
        (Wanted::Auto, &nixl, Connector::NixlPull, 0),
        (Wanted::Auto, &none, Connector::None, 0),
        (Wanted::Auto, &other, Connector::None, 1),
        (Wanted::NixlPull, &none, Connector::NixlPull, 0),
        (Wanted::NixlPull, &other, Connector::NixlPull, 0),
        (Wanted::None, &nixl, Connector::None, 0),
    ] {
        let labels = json!({"app": "vllm"});
        let mut pod = facts(crate::pod::tests::ready("a", "10.0.0.1", labels));
        pod.connector = declared.clone();
        let mut spec = QoERouteSpec { connector: wanted, ..QoERouteSpec::default() };
        spec.endpoints.selector.match_labels.insert("app".to_owned(), "vllm".to_owned());
        let route = RouteInput { namespace: "llm", created: 0, spec: &spec, lost: &[] };
        let Translation { config, findings, .. } = translate(route, std::iter::once(&pod));
        let got = (config.endpoints[0].connector, findings.connector_unknown.count);
        assert_eq!(got, (connector, odd), "{wanted:?} over {declared:?}");
    }
}

#[test]
fn a_scheduling_policy_that_is_none_is_told_and_taken_for_first_come_first_served() {
    let labels = json!({"app": "vllm"});
    let mut pod = facts(crate::pod::tests::ready("a", "10.0.0.1", labels));
    let mut spec = QoERouteSpec::default();
    spec.endpoints.selector.match_labels.insert("app".to_owned(), "vllm".to_owned());
    let route = RouteInput { namespace: "llm", created: 0, spec: &spec, lost: &[] };
    for (declared, scheduling, odd) in [
        (Some(Scheduling::Priority), Scheduling::Priority, 0),
        (Some(Scheduling::Fcfs), Scheduling::Fcfs, 0),
        (None, Scheduling::Fcfs, 1),
    ] {
        pod.scheduling = declared;
        let Translation { config, findings, .. } = translate(route, std::iter::once(&pod));
        let got = (config.endpoints[0].scheduling, findings.scheduling_unknown.count);
        assert_eq!(got, (scheduling, odd), "{declared:?}");
    }
}

#[test]
fn a_selector_without_labels_selects_nobody() {
    let pod = facts(crate::pod::tests::ready("a", "10.0.0.1", json!({"app": "vllm"})));
    let mut spec = QoERouteSpec::default();
    assert!(!selects(&spec, &pod));
    let labels = &mut spec.endpoints.selector.match_labels;
    labels.insert("app".to_owned(), "vllm".to_owned());
    assert!(selects(&spec, &pod));
    let labels = &mut spec.endpoints.selector.match_labels;
    labels.insert("tier".to_owned(), "gold".to_owned());
    assert!(!selects(&spec, &pod), "every label must be there");
}

#[test]
fn a_finding_names_a_few_pods_and_counts_the_rest() {
    assert_eq!(Pods::of(&["a"]).names(), "a");
    assert_eq!(Pods::of(&["a", "b", "c"]).names(), "a, b, c");
    assert_eq!(Pods::of(&["a", "b", "c", "d", "e"]).names(), "a, b, c and 2 more");
}

fn pod() -> impl Strategy<Value = Value> {
    let word = prop_oneof!["[ -~]{0,12}", "[\\PC\r\n]{0,8}", Just("prefill".to_owned())];
    let key = prop::sample::select(vec![
        "role",
        "llm-d.ai/role",
        "disaggregatedset.x-k8s.io/slice",
        "sleeping",
        "leaderworkerset.sigs.k8s.io/worker-index",
    ]);
    let address = prop::sample::select(vec![
        "10.0.0.1",
        "10.0.0.2",
        "fd00::1",
        "0.0.0.0",
        "::",
        "255.255.255.255",
        "ff02::1",
        "evil.example",
        "",
    ]);
    let labels = prop::collection::btree_map(key, word.clone(), 0..3);
    (0..6_u8, word, labels, address, any::<i32>(), any::<bool>()).prop_map(
        |(name, annotation, labels, address, port, ready)| {
            let mut pod = crate::pod::tests::ready(&format!("pod-{name}"), address, json!(labels));
            pod["metadata"]["labels"]["app"] = json!("vllm");
            pod["metadata"]["annotations"] = json!({"qoe-router.io/kv-connector": annotation});
            pod["spec"]["containers"][0]["ports"][1]["containerPort"] = json!(port);
            pod["status"]["conditions"][0]["status"] = json!(if ready { "True" } else { "False" });
            pod
        },
    )
}

proptest! {
    /// A router refuses a push with anything odd in it: one pod must not stop a route.
    #[test]
    fn whatever_pods_say_routers_take_what_comes_of_it(
        pods in prop::collection::vec(pod(), 0..8),
        named in any::<bool>(),
    ) {
        let mut spec = QoERouteSpec::default();
        spec.endpoints.selector.match_labels.insert("app".to_owned(), "vllm".to_owned());
        if named {
            spec.endpoints.port = qoe_api::Port::Name("http".to_owned());
        }
        let addresses: HashSet<String> = pods
            .iter()
            .map(|pod| pod["status"]["podIPs"][0]["ip"].as_str().unwrap().to_owned())
            .collect();
        let translation = Case { spec, created: 1, lost: Vec::new(), pods }.translate();
        let read = RouteConfig::decode(&translation.config.encode());
        prop_assert_eq!(read.unwrap(), translation.config.clone());
        for endpoint in &translation.config.endpoints {
            prop_assert!(addresses.contains(&endpoint.address.ip().to_string()));
        }
        prop_assert!(translation.prefill.ready <= translation.prefill.total);
        prop_assert!(translation.decoding.total <= translation.selected);
    }
}
