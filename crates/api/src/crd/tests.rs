use kube_core::CustomResourceExt;
use serde_json::{Value, json};

use crate::{API_VERSION, GROUP, QoERoute, VERSION};

fn crd() -> Value {
    serde_json::to_value(QoERoute::crd()).unwrap()
}

fn version() -> Value {
    crd()["spec"]["versions"][0].clone()
}

fn spec() -> Value {
    version()["schema"]["openAPIV3Schema"]["properties"]["spec"].clone()
}

/// Calls `visit` with every schema within a schema, and its path.
fn walk(schema: &Value, path: &str, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(property, &format!("{path}.{name}"), visit);
    }
    if schema["items"].is_object() {
        walk(&schema["items"], &format!("{path}[]"), visit);
    }
}

#[test]
fn the_resource_has_its_names() {
    let crd = crd();
    assert_eq!(crd["metadata"]["name"], "qoeroutes.qoe-router.io");
    assert_eq!(crd["spec"]["group"], GROUP);
    assert_eq!(crd["spec"]["scope"], "Namespaced");
    assert_eq!(
        crd["spec"]["names"],
        json!({
            "kind": "QoERoute", "plural": "qoeroutes", "singular": "qoeroute",
            "shortNames": ["qoer"], "categories": ["qoe"]
        })
    );
    assert_eq!(version()["name"], VERSION);
    assert_eq!(version()["subresources"], json!({"status": {}}));
    assert_eq!(API_VERSION, format!("{GROUP}/{VERSION}"));
}

#[test]
fn the_columns_are_those_of_the_documentation() {
    let version = version();
    let columns: Vec<_> = version["additionalPrinterColumns"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| (c["name"].as_str().unwrap(), c["jsonPath"].as_str().unwrap()))
        .collect();
    assert_eq!(
        columns,
        [
            ("Model", ".spec.models[0]"),
            ("Prefill", ".status.prefill"),
            ("Decoding", ".status.decoding"),
            ("Ready", r#".status.conditions[?(@.type=="Ready")].status"#),
            ("Age", ".metadata.creationTimestamp"),
        ]
    );
}

#[test]
fn the_schema_is_structural_and_documented() {
    walk(&version()["schema"]["openAPIV3Schema"], "", &mut |path, schema| {
        for forbidden in ["$ref", "anyOf", "oneOf", "allOf"] {
            assert!(schema[forbidden].is_null(), "{path}: {forbidden}");
        }
        let either = schema["x-kubernetes-int-or-string"] == true;
        assert!(schema["type"].is_string() != either, "{path}: {schema}");
        let fields = schema["properties"].as_object();
        assert!(
            fields.is_none() || schema["additionalProperties"].is_null(),
            "{path}: unknown fields must be pruned, not refused"
        );
        let format = schema["format"].as_str().unwrap_or("int64");
        assert!(["int32", "int64", "double", "date-time"].contains(&format), "{path}: {format}");
    });
    walk(&spec(), "spec", &mut |path, schema| {
        let documented = path.ends_with("[]") || schema["description"].is_string();
        assert!(documented, "{path} has no description");
    });
}

#[test]
fn every_field_has_a_default_or_may_be_absent() {
    walk(&spec(), "spec", &mut |path, schema| {
        assert!(schema["required"].is_null(), "{path} requires {}", schema["required"]);
    });
    let spec = spec();
    let slo = &spec["properties"]["slo"];
    assert_eq!(slo["properties"]["ttftMilliseconds"]["default"], 500);
    assert_eq!(spec["properties"]["policy"]["default"], json!({"type": "Predictive"}));
    assert_eq!(spec["properties"]["handoff"]["properties"]["mode"]["default"], "Auto");
    assert_eq!(spec["properties"]["policy"]["properties"]["weights"]["nullable"], true);
    assert!(spec["properties"]["policy"]["properties"]["weights"]["default"].is_null());
}

#[test]
fn the_rules_are_in_the_schema_with_their_messages() {
    let mut rules = Vec::new();
    walk(&spec(), "spec", &mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            assert!(rule["message"].as_str().is_some_and(|m| m.contains(": ")), "{rule}");
            rules.push(path.to_owned());
        }
    });
    assert_eq!(
        rules,
        [
            "spec",
            "spec.autoscaling.decoding",
            "spec.autoscaling.prefill",
            "spec.endpoints.port",
            "spec.headers",
            "spec.headers",
            "spec.policy",
            "spec.policy",
            "spec.policy.weights.decoding",
            "spec.policy.weights.prefill"
        ]
    );
    let spec = spec();
    assert_eq!(spec["properties"]["models"]["x-kubernetes-list-type"], "set");
    let paths = &spec["properties"]["allowAdminPaths"]["items"];
    assert_eq!(paths["pattern"], "^(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$");
    let status = version()["schema"]["openAPIV3Schema"]["properties"]["status"].clone();
    let conditions = &status["properties"]["conditions"];
    assert_eq!(conditions["x-kubernetes-list-type"], "map");
    assert_eq!(conditions["x-kubernetes-list-map-keys"], json!(["type"]));
}
