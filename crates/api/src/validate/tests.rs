use super::*;
use serde_json::{Value, json};

/// The spec with one field set to `value`.
fn with(path: &FieldPath, value: Value) -> Result<QoERouteSpec, serde_json::Error> {
    let nested = path.segments().iter().rev().fold(value, |inner, segment| match segment {
        crate::Segment::Key(key) => json!({ key.as_str(): inner }),
        crate::Segment::Index(_) => json!([inner]),
    });
    serde_json::from_value(nested)
}

fn violations(spec: &Value) -> Vec<(String, String)> {
    let spec: QoERouteSpec = serde_json::from_value(spec.clone()).unwrap();
    spec.validate().into_iter().map(|v| (v.path.to_string(), v.message)).collect()
}

/// Collects every number in the schema with its bounds.
fn ranges(schema: &Value, path: &FieldPath, found: &mut Vec<(FieldPath, f64, f64)>) {
    if let (Some(min), Some(max)) = (schema["minimum"].as_f64(), schema["maximum"].as_f64()) {
        found.push((path.clone(), min, max));
    }
    let some = schema["anyOf"].as_array().into_iter().flatten();
    for choice in some {
        ranges(choice, path, found);
    }
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        ranges(property, &path.key(name), found);
    }
}

#[test]
fn the_ranges_of_the_schema_are_those_of_the_code() {
    let settings = schemars::generate::SchemaSettings::draft2020_12();
    let generator = settings.with(|s| s.inline_subschemas = true).into_generator();
    let schema = generator.into_root_schema_for::<QoERouteSpec>();
    let mut found = Vec::new();
    ranges(schema.as_value(), &FieldPath::default(), &mut found);
    assert_eq!(found.len(), 32, "every number has both bounds: {found:?}");
    for (path, min, max) in found {
        let refused = |value: f64| {
            let value = if value.fract() == 0.0 { json!(value as i64) } else { json!(value) };
            with(&path, value).is_ok_and(|spec| spec.validate().iter().any(|v| v.path == path))
        };
        assert!(!refused(min) && !refused(max), "{path}: the bounds are within");
        assert!(refused(max + 1.0), "{path}: more than {max}");
        if min >= 1.0 {
            assert!(refused(min - 1.0), "{path}: less than {min}");
        }
    }
}

#[test]
fn numbers_that_are_nan_or_negative_are_refused() {
    let mut spec = QoERouteSpec::default();
    spec.policy.kind = PolicyType::Weighted;
    let weights = spec.policy.weights.insert(Weights::default());
    weights.prefill.ttft = f64::NAN;
    weights.decoding.tps = -0.1;
    let paths: Vec<_> = spec.validate().into_iter().map(|v| v.path.to_string()).collect();
    assert_eq!(paths, ["policy.weights.prefill.ttft", "policy.weights.decoding.tps"]);
}

#[test]
fn weights_must_weigh_and_belong_to_weighted() {
    let zero = json!({"ttft": 0, "prefixMiss": 0, "queue": 0});
    let spec = json!({"policy": {"type": "LeastRequest", "weights": {"prefill": zero}}});
    assert_eq!(
        violations(&spec),
        [
            (
                "policy.weights".to_owned(),
                "weights belong to the policy Weighted: set type to Weighted, or remove weights"
                    .to_owned()
            ),
            (
                "policy.weights.prefill".to_owned(),
                "all weights are 0, so endpoints cannot be compared: set at least one above 0"
                    .to_owned()
            ),
        ]
    );
}

#[test]
fn rules_of_a_policy_belong_to_it() {
    let rules = json!({"crossPhase": false});
    assert_eq!(violations(&json!({"policy": {"predictive": rules}})), []);
    let found = violations(&json!({"policy": {"type": "RoundRobin", "predictive": rules}}));
    let [(path, message)] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!(path, "policy.predictive");
    assert!(message.contains("set type to Predictive"), "{message}");
}

#[test]
fn header_names_are_tokens_of_their_own() {
    for (name, message) in [
        ("", "invalid header name"),
        ("x priority", "invalid header name"),
        ("x-priorität", "invalid header name"),
        ("x:y", "invalid header name"),
        ("Authorization", "is reserved"),
        ("content-length", "is reserved"),
        ("Transfer-Encoding", "is reserved"),
        ("x-request-id", "is reserved"),
        ("host", "is reserved"),
    ] {
        let found = violations(&json!({"headers": {"priority": name}}));
        let [(path, text)] = found.as_slice() else { panic!("{name}: {found:?}") };
        assert_eq!(path, "headers.priority");
        assert!(text.contains(message), "{name}: {text}");
    }
    let found = violations(&json!({"headers": {"priority": "X-Same", "session": "x-same"}}));
    assert_eq!(
        found,
        [(
            "headers.session".to_owned(),
            "`x-same` is the name of two headers: give each its own".to_owned()
        )]
    );
}

#[test]
fn lists_hold_each_name_once_and_no_empty_one() {
    let spec = json!({
        "models": ["a", "", "a"],
        "endpoints": {"phase": {"labels": [""], "prefillTags": ["p"], "decodingTags": [""]}},
    });
    let paths: Vec<_> = violations(&spec).into_iter().map(|(path, _)| path).collect();
    assert_eq!(
        paths,
        ["models[1]", "models[2]", "endpoints.phase.labels[0]", "endpoints.phase.decodingTags[0]"]
    );
    let many: Vec<_> = (0..=MAX_ITEMS).map(|i| format!("m{i}")).collect();
    assert_eq!(
        violations(&json!({"models": many})),
        [("models".to_owned(), "257 items: use at most 256".to_owned())]
    );
    assert_eq!(
        violations(&json!({"models": ["é".repeat(257)]})),
        [("models[0]".to_owned(), "257 characters: use at most 256".to_owned())]
    );
    assert_eq!(violations(&json!({"models": ["é".repeat(256)]})), []);
}

#[test]
fn admin_paths_are_whole_paths() {
    let good = ["/sleep", "/v1/load_lora_adapter", "/a.b/_c-d"];
    assert_eq!(violations(&json!({"allowAdminPaths": good})), []);
    for bad in ["sleep", "/", "//sleep", "/sleep/", "/sleep?x=1", "/../sleep", "/*", "/a b", "/%73"]
    {
        let found = violations(&json!({"allowAdminPaths": [bad]}));
        assert!(found.len() == 1 && found[0].0 == "allowAdminPaths[0]", "{bad}: {found:?}");
    }
}
