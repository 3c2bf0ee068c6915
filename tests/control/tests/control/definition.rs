//! The definition of routes: what the API server takes, and what it says of what it does not take.

use std::path::Path;

use qoe_api::QoERouteSpec;
use qoe_control_tests::kubernetes::causes;
use qoe_control_tests::pods::selecting;
use qoe_control_tests::space::{Space, route};
use serde_json::{Value, json};

/// `base` with `patch` laid over it.
fn merged(mut base: Value, patch: Value) -> Value {
    match (&mut base, patch) {
        (Value::Object(members), Value::Object(patch)) => {
            for (name, value) in patch {
                let member = members.entry(name).or_insert(Value::Null);
                *member = merged(member.take(), value);
            }
            base
        }
        (_, patch) => patch,
    }
}

/// What the API server has against a spec that is good but for `patch`. Nothing is kept.
async fn refused(space: &Space, patch: Value) -> Vec<(String, String)> {
    let path = format!("{}?dryRun=All", space.routes());
    let route = route("bad", &merged(selecting(), patch));
    causes(space.admin.create(&path, &route).await)
}

#[test]
fn what_is_in_the_repository_is_what_the_program_prints() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../crds/qoeroutes.yaml");
    let file = std::fs::read_to_string(file).unwrap();
    assert!(file == qoe_controller::crd(), "crds/qoeroutes.yaml is stale: run make crds");
}

#[tokio::test(flavor = "multi_thread")]
async fn five_lines_are_a_route() {
    let space = Space::new("short").await;
    let lines = "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {name: llama}\nspec:\n  \
                 endpoints: {selector: {matchLabels: {app: vllm}}}\n";
    let path = format!("{}/llama", space.routes());
    let made = space.admin.apply(&path, lines).await.expect("it is accepted");
    let mut wanted = QoERouteSpec::default();
    wanted.endpoints.selector.match_labels.insert("app".to_owned(), "vllm".to_owned());
    assert_eq!(serde_json::from_value::<QoERouteSpec>(made["spec"].clone()).unwrap(), wanted);
    let names = ["routerClassName", "connector"].map(|name| made["spec"][name].clone());
    assert_eq!(names, ["default", "Auto"], "defaults are there to be seen");
    assert_eq!(made["spec"]["endpoints"]["port"], 8000);
}

#[tokio::test(flavor = "multi_thread")]
async fn it_goes_by_its_names() {
    let space = Space::new("names").await;
    let group = space.admin.get("/apis/qoe-router.io/v1alpha1").await.unwrap();
    let resources = group["resources"].as_array().unwrap();
    let routes = resources.iter().find(|resource| resource["name"] == "qoeroutes").unwrap();
    assert_eq!(
        (&routes["shortNames"], &routes["categories"], &routes["namespaced"]),
        (&json!(["qoer"]), &json!(["qoe"]), &json!(true))
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_served_is_refused_with_a_sentence() {
    let space = Space::new("refused").await;
    let port = "Invalid value: \"\": not a port: write a number from 1 to 65535, or the name of a container port, \
                such as http";
    let object = |message: &str| format!("Invalid value: \"object\": {message}");
    let no_pods = object(
        "no pods are selected: set endpoints.selector.matchLabels to labels of the pods that serve",
    );
    let same_header = object("two of the headers have the same name: give each its own");
    let other_meaning = object(
        "a header name is reserved by HTTP or by the router: choose another name, such as x-request-priority",
    );
    let weights =
        object("weights belong to the policy Weighted: set type to Weighted, or remove weights");
    let predictive = object(
        "predictive belongs to the policy Predictive: set type to Predictive, or remove predictive",
    );
    let zero = json!({"ttft": 0, "prefixMiss": 0, "queue": 0});
    let all_zero =
        object("all weights are 0, so endpoints cannot be compared: set at least one above 0");
    let bounds = object("minReplicas is above maxReplicas: swap them, or leave one out");
    for (patch, field, message) in [
        (json!({"endpoints": {"selector": {"matchLabels": null}}}), "spec", no_pods.as_str()),
        (json!({"endpoints": {"port": 0}}), "spec.endpoints.port", port),
        (json!({"endpoints": {"port": 70_000}}), "spec.endpoints.port", port),
        (json!({"endpoints": {"port": "HTTP"}}), "spec.endpoints.port", port),
        (json!({"policy": {"weights": {}}}), "spec.policy", &weights),
        (json!({"policy": {"type": "RoundRobin", "predictive": {}}}), "spec.policy", &predictive),
        (
            json!({"policy": {"type": "Weighted", "weights": {"prefill": zero}}}),
            "spec.policy.weights.prefill",
            &all_zero,
        ),
        (json!({"headers": {"priority": "x-a", "session": "X-A"}}), "spec.headers", &same_header),
        (json!({"headers": {"priority": "Authorization"}}), "spec.headers", &other_meaning),
        (
            json!({"autoscaling": {"decoding": {"minReplicas": 3, "maxReplicas": 2}}}),
            "spec.autoscaling.decoding",
            &bounds,
        ),
        (
            json!({"policy": {"type": "Best"}}),
            "spec.policy.type",
            "Unsupported value: \"Best\": supported values: \"Predictive\", \"Weighted\", \"RoundRobin\", \
             \"LeastRequest\", \"PowerOfTwo\", \"PrefixAffinity\"",
        ),
        (
            json!({"connector": "Auto "}),
            "spec.connector",
            "Unsupported value: \"Auto \": supported values: \"Auto\", \"NixlPull\", \"None\"",
        ),
        (
            json!({"handoff": {"mode": "auto"}}),
            "spec.handoff.mode",
            "Unsupported value: \"auto\": supported values: \"Auto\", \"Always\", \"Never\"",
        ),
        (
            json!({"slo": {"ttftMilliseconds": 0}}),
            "spec.slo.ttftMilliseconds",
            "Invalid value: 0: spec.slo.ttftMilliseconds in body should be greater than or equal to 1",
        ),
        (
            json!({"routerClassName": "My_Class"}),
            "spec.routerClassName",
            "Invalid value: \"My_Class\": spec.routerClassName in body should match \
             '^[a-z0-9]([a-z0-9-]*[a-z0-9])?$'",
        ),
        (json!({"models": ["a", "a"]}), "spec.models[1]", "Duplicate value: \"a\""),
    ] {
        // What is wrong with a field's form hinders the rules, which then are said not to have been checked.
        let mut found = refused(&space, patch).await;
        found.retain(|(field, _)| field != "<nil>");
        assert_eq!(found, [(field.to_owned(), message.to_owned())]);
    }
}

/// Patches that break one rule each; every rule of `QoERouteSpec::validate` but those of ranges is here.
fn bad() -> Vec<Value> {
    let long = "x".repeat(257);
    let many: Vec<_> = (0..257).map(|i| format!("m{i}")).collect();
    let paths: Vec<_> = (0..257).map(|i| format!("/p{i}")).collect();
    let mut bad = Vec::new();
    for class in ["", "Big", "-a", "a-", "a.b", &"a".repeat(64)] {
        bad.push(json!({"routerClassName": class}));
    }
    for models in [json!([""]), json!(["a", "b", "a"]), json!([long]), json!(many)] {
        bad.push(json!({"models": models}));
    }
    for port in ["", "-http", "http-", "a--b", "8000", "HTTP", "a-name-that-is-long"] {
        bad.push(json!({"endpoints": {"port": port}}));
    }
    bad.push(json!({"endpoints": {"port": 0}}));
    for list in ["labels", "prefillTags", "decodingTags"] {
        for value in [json!([""]), json!([long]), json!(many)] {
            bad.push(json!({"endpoints": {"phase": {list: value}}}));
        }
    }
    bad.push(json!({"policy": {"weights": {}}}));
    bad.push(json!({"policy": {"type": "LeastRequest", "predictive": {"crossPhase": true}}}));
    for (phase, names) in
        [("prefill", ["ttft", "prefixMiss", "queue"]), ("decoding", ["itl", "tps", "queue"])]
    {
        let zero: Value = names.iter().map(|name| (name.to_string(), json!(0))).collect();
        bad.push(json!({"policy": {"type": "Weighted", "weights": {phase: zero}}}));
        bad.push(json!({"autoscaling": {phase: {"minReplicas": 2, "maxReplicas": 1}}}));
    }
    for field in ["priority", "expectedOutputTokens", "slaTarget", "session"] {
        for name in ["", "a b", "a:b", "ä", &"x".repeat(65), "Host", "Content-Type", "x-request-id"]
        {
            bad.push(json!({"headers": {field: name}}));
        }
    }
    bad.push(json!({"headers": {"priority": "X-Same", "session": "x-same"}}));
    for path in [
        "",
        "sleep",
        "/",
        "//a",
        "/a/",
        "/a?b=1",
        "/../a",
        "/*",
        "/a b",
        "/%73",
        &format!("/{long}"),
    ] {
        bad.push(json!({"allowAdminPaths": [path]}));
    }
    bad.push(json!({"allowAdminPaths": ["/a", "/a"]}));
    bad.push(json!({"allowAdminPaths": paths}));
    bad
}

/// Patches that leave one range each, at both of its ends.
fn beyond(schema: &Value, path: &[&str], found: &mut Vec<Value>) {
    if let (Some(min), Some(max)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        for value in [min - 1.0, max + 1.0] {
            let nest = |inner, name: &&str| json!({ *name: inner });
            let mut patch = path.iter().rev().fold(json!(value as i64), nest);
            if path.contains(&"weights") {
                patch["policy"]["type"] = json!("Weighted");
            }
            found.push(patch);
        }
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        beyond(property, &[path, &[name.as_str()]].concat(), found);
    }
}

/// Every rule that is in the code is the API server's too, and about the same field.
#[tokio::test(flavor = "multi_thread")]
async fn what_the_code_refuses_the_api_server_refuses() {
    let space = Space::new("rules").await;
    let crd: Value = serde_saphyr::from_str(&qoe_controller::crd()).unwrap();
    let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"];
    let mut ranges = Vec::new();
    beyond(schema, &[], &mut ranges);
    assert!(ranges.len() >= 64, "every number has a range: {}", ranges.len());
    for patch in bad().into_iter().chain(ranges) {
        let fields: Vec<_> =
            refused(&space, patch.clone()).await.into_iter().map(|(f, _)| f).collect();
        // A number below zero is no number of ours at all.
        let Ok(spec) = serde_json::from_value::<QoERouteSpec>(merged(selecting(), patch.clone()))
        else {
            continue;
        };
        let violations = spec.validate();
        assert!(!violations.is_empty(), "the code takes {patch}");
        for violation in violations {
            let path = format!("spec.{}", violation.path);
            let known = fields.iter().any(|field| path.starts_with(field.as_str()));
            assert!(known, "{path} is refused by the code, {fields:?} by the API server: {patch}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_at_the_edge_is_taken() {
    let space = Space::new("taken").await;
    let path = format!("{}?dryRun=All", space.routes());
    for patch in [
        json!({"endpoints": {"port": 1}}),
        json!({"endpoints": {"port": 65_535}}),
        json!({"endpoints": {"port": "h2c-1"}}),
        json!({"routerClassName": "a"}),
        json!({"models": ["meta-llama/Llama-3.1-8B-Instruct", "ä".repeat(256)]}),
        json!({"policy": {"type": "Weighted", "weights": {"prefill": {"ttft": 0.5}}}}),
        json!({"policy": {"predictive": {"crossPhase": false}}}),
        json!({"limits": {"maxQueued": 0}, "slo": {"onUnattainable": "Reject"}}),
        json!({"headers": {"priority": "X-Mine", "session": "x-yours"}}),
        json!({"autoscaling": {"prefill": {"minReplicas": 2, "maxReplicas": 2}}}),
        json!({"slo": {"byPriority": {"High": {"ttftMilliseconds": 1}}}}),
        json!({"allowAdminPaths": ["/sleep", "/v1/load_lora_adapter"]}),
    ] {
        let spec = merged(selecting(), patch.clone());
        let taken = space.admin.create(&path, &route("good", &spec)).await;
        assert!(taken.is_ok(), "{patch}: {taken:?}");
        let spec: QoERouteSpec = serde_json::from_value(spec).unwrap();
        assert_eq!(spec.validate(), [], "{patch}");
    }
}
