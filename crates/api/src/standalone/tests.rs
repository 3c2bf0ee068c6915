use super::*;
use crate::route::QoERouteSpec;
use crate::{Connector, HandoffMode, OnUnattainable, PolicyType, Predictive};

/// The first five lines of a route. What a test adds begins at line 6, within the spec.
const ROUTE: &str = "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {name: llama}\n\
                     spec:\n  models: [tiny]\n";
const LIST: &str = "---\napiVersion: qoe-router.io/v1alpha1\nkind: EndpointList\nendpoints:\n";

fn with_spec(spec: &str) -> String {
    format!("{ROUTE}{spec}\n{LIST}- {{name: p0, url: 'http://127.0.0.1:8100'}}\n")
}

fn with_endpoints(endpoints: &str) -> String {
    format!("{ROUTE}{LIST}{endpoints}\n")
}

/// The errors of a file, as the user sees them.
fn refusal(text: &str) -> String {
    load(text).expect_err(text).in_file("llm.yaml")
}

#[test]
fn a_route_of_five_lines_works() {
    let config = load(&with_spec("")).unwrap();
    let [route] = config.routes.as_slice() else { panic!("{config:?}") };
    assert_eq!((route.name.as_str(), &route.namespace), ("llama", &None));
    let expected = QoERouteSpec { models: vec!["tiny".into()], ..QoERouteSpec::default() };
    assert_eq!(route.spec, expected);
    assert_eq!(config.endpoints.len(), 1);
    assert_eq!(config.endpoints[0].url.to_string(), "http://127.0.0.1:8100");
}

#[test]
fn defaults_are_those_of_the_documentation() {
    let spec = QoERouteSpec::default();
    let json = serde_json::json!({
        "routerClassName": "default",
        "models": [],
        "endpoints": {
            "selector": {"matchLabels": {}},
            "port": 8000,
            "phase": {
                "labels": [], "prefillTags": ["prefill"], "decodingTags": ["decode", "decoding"]
            }
        },
        "connector": "Auto",
        "policy": {"type": "Predictive"},
        "handoff": {"mode": "Auto"},
        "slo": {"ttftMilliseconds": 500, "itlMilliseconds": 50, "byPriority": {},
                "onUnattainable": "BestEffort"},
        "headers": {
            "priority": "x-request-priority", "expectedOutputTokens": "x-expected-output-tokens",
            "slaTarget": "x-sla-target-ms", "session": "x-session-id"
        },
        "timeouts": {
            "connectMilliseconds": 1000, "firstTokenSeconds": 120, "prefillSeconds": 60,
            "idleSeconds": 120, "answerSeconds": 600
        },
        "limits": {"maxBodyBytes": 33_554_432, "maxInFlight": 0, "maxQueued": 1024},
        "allowAdminPaths": [],
        "autoscaling": {
            "prefill": {"minReplicas": 1, "maxReplicas": 32},
            "decoding": {"minReplicas": 1, "maxReplicas": 32}
        }
    });
    assert_eq!(serde_json::to_value(&spec).unwrap(), json);
    assert_eq!(spec.validate(), []);
    let weights = serde_json::json!({
        "prefill": {"ttft": 0.5, "prefixMiss": 0.3, "queue": 0.2},
        "decoding": {"itl": 0.6, "tps": 0.3, "queue": 0.1},
        "references": {
            "ttftMilliseconds": 300, "itlMilliseconds": 50, "tokensPerSecond": 30,
            "prefillQueue": 10, "decodingQueue": 15
        }
    });
    assert_eq!(serde_json::to_value(crate::Weights::default()).unwrap(), weights);
}

const EVERYTHING: &str = r#"
# Two routes over three endpoints, every field written.
apiVersion: qoe-router.io/v1alpha1
kind: QoERoute
metadata:
  name: llama
  namespace: llm
  labels: {team: chat}
  creationTimestamp: null
  uid: what-a-cluster-adds
spec:
  models: [llama, llama-instruct]
  endpoints:
    selector: {matchLabels: {app: vllm-llama}}
    phase: {labels: [example.com/role], prefillTags: [p], decodingTags: [d]}
  connector: NixlPull
  policy:
    type: Weighted
    weights:
      prefill: {ttft: 1, prefixMiss: 0, queue: 0}
      references: {tokensPerSecond: 60}
  handoff: {mode: Always, minPromptTokens: 0}
  slo: {ttftMilliseconds: 800, byPriority: {High: {ttftMilliseconds: 250}}, onUnattainable: Reject}
  headers: {priority: X-My-Priority}
  timeouts: {firstTokenSeconds: 30}
  limits: {maxInFlight: 100, maxQueued: 0}
  allowAdminPaths: [/sleep, /v1/load_lora_adapter]
status: {conditions: []}
---
# Nothing here.
---
apiVersion: qoe-router.io/v1alpha1
kind: QoERoute
metadata: {name: small}
spec: {models: [tiny], policy: {predictive: {crossPhase: false}}, handoff: {mode: Never}}
---
apiVersion: qoe-router.io/v1alpha1
kind: EndpointList
metadata: {name: static}
endpoints:
- {name: p0, url: "http://127.0.0.1:8100", labels: {llm-d.ai/role: prefill}}
- {name: d0, url: "http://127.0.0.1:8200", tags: [decoding], models: [tiny], scheduling: Priority}
---
apiVersion: qoe-router.io/v1alpha1
kind: EndpointList
endpoints:
- {name: m0, url: "http://[::1]:8300"}
"#;

#[test]
fn every_field_is_read() {
    let config = load(EVERYTHING).unwrap();
    let [llama, small] = config.routes.as_slice() else { panic!("{config:?}") };
    assert_eq!(llama.qualified_name(), "llm/llama");
    assert_eq!(llama.spec.endpoints.selector.match_labels["app"], "vllm-llama");
    assert_eq!(llama.spec.endpoints.phase.labels, ["example.com/role"]);
    assert_eq!(llama.spec.connector, Connector::NixlPull);
    let weights = llama.spec.policy.weights.as_ref().unwrap();
    assert_eq!((weights.prefill.ttft, weights.decoding.itl), (1.0, 0.6));
    assert_eq!(weights.references.tokens_per_second, 60);
    assert_eq!(llama.spec.handoff.mode, HandoffMode::Always);
    assert_eq!(llama.spec.handoff.min_prompt_tokens, Some(0));
    assert_eq!(llama.spec.slo.on_unattainable, OnUnattainable::Reject);
    assert_eq!((llama.spec.slo.ttft_milliseconds, llama.spec.slo.itl_milliseconds), (800, 50));
    let high = llama.spec.slo.by_priority.high.as_ref().unwrap();
    assert_eq!((high.ttft_milliseconds, high.itl_milliseconds), (Some(250), None));
    assert_eq!(llama.spec.headers.priority, "X-My-Priority");
    assert_eq!(llama.spec.timeouts.first_token_seconds, 30);
    assert_eq!((llama.spec.limits.max_in_flight, llama.spec.limits.max_queued), (100, 0));
    assert_eq!(llama.spec.allow_admin_paths, ["/sleep", "/v1/load_lora_adapter"]);
    assert_eq!(small.qualified_name(), "small");
    assert_eq!(small.spec.policy.kind, PolicyType::Predictive);
    assert_eq!(small.spec.policy.predictive, Some(Predictive { cross_phase: false }));
    let names: Vec<_> = config.endpoints.iter().map(|e| e.name.as_str()).collect();
    assert_eq!(names, ["p0", "d0", "m0"]);
    assert_eq!(config.endpoints[0].labels["llm-d.ai/role"], "prefill");
    assert_eq!(config.endpoints[1].tags, ["decoding"]);
    assert_eq!(config.endpoints[1].models, ["tiny"]);
    let scheduling: Vec<_> = config.endpoints.iter().map(|e| e.scheduling).collect();
    assert_eq!(scheduling, [Scheduling::Fcfs, Scheduling::Priority, Scheduling::Fcfs]);
}

#[test]
fn endpoints_may_come_later() {
    assert_eq!(load(&with_endpoints("  []")).unwrap().endpoints, []);
}

#[test]
fn a_field_left_empty_has_its_default() {
    let config = load(&with_spec("  slo:\n  limits: {maxInFlight: }")).unwrap();
    assert_eq!(config.routes[0].spec.slo, crate::Slo::default());
    assert_eq!(config.routes[0].spec.limits, crate::Limits::default());
}

/// Asserts that the file made from each input is refused with the message beside it.
fn assert_refused(texts: impl Fn(&str) -> String, table: &[(&str, &str)]) {
    for (input, message) in table {
        assert_eq!(refusal(&texts(input)), *message, "for {input}");
    }
}

#[test]
fn a_wrong_field_of_a_route_is_shown_where_it_is() {
    assert_refused(
        with_spec,
        &[
            (
                "  policy: {type: Weightd}",
                "llm.yaml:6:12: spec.policy.type: unknown variant `Weightd`, expected one of \
             `Predictive`, `Weighted`, `RoundRobin`, `LeastRequest`, `PowerOfTwo`, `PrefixAffinity`",
            ),
            (
                "  handoff:\n\n    # Which one?\n    mode: yes",
                "llm.yaml:9:5: spec.handoff.mode: unknown variant `yes`, expected one of `Auto`, \
             `Always`, `Never`",
            ),
            (
                "  slo: {ttftMilliseconds: 500ms}",
                "llm.yaml:6:9: spec.slo.ttftMilliseconds: invalid type: string \"500ms\", expected a \
             whole number",
            ),
            (
                "  slo: {ttftMilliseconds: -1}",
                "llm.yaml:6:9: spec.slo.ttftMilliseconds: invalid value: integer `-1`, expected a \
             whole number",
            ),
            (
                "  endpoints: {selector: {matchLabels: {app.io/v: 1}}}",
                "llm.yaml:6:40: spec.endpoints.selector.matchLabels[app.io/v]: invalid type: integer \
             `1`, expected a string",
            ),
            ("  slo: []", "llm.yaml:6:3: spec.slo: expected a mapping, found a list"),
        ],
    );
}

#[test]
fn unknown_fields_are_all_shown_with_the_known_ones() {
    assert_refused(
        with_spec,
        &[
            (
                "  polcy: {}",
                "llm.yaml:6:3: spec.polcy: unknown field `polcy`, expected one of `allowAdminPaths`, \
             `autoscaling`, `connector`, `endpoints`, `handoff`, `headers`, `limits`, `models`, \
             `policy`, `routerClassName`, `slo`, `timeouts`",
            ),
            (
                "  endpoints: {prot: 8000}\n  slo: {byPriority: {High: {ttftMs: 5}, high: {}}}",
                "llm.yaml:6:15: spec.endpoints.prot: unknown field `prot`, expected one of `phase`, \
             `port`, `selector`\n\
             llm.yaml:7:29: spec.slo.byPriority.High.ttftMs: unknown field `ttftMs`, expected one \
             of `itlMilliseconds`, `ttftMilliseconds`\n\
             llm.yaml:7:41: spec.slo.byPriority.high: unknown field `high`, expected one of \
             `High`, `Low`, `Medium`",
            ),
        ],
    );
}

#[test]
fn a_broken_rule_of_a_route_is_shown_where_it_is() {
    assert_refused(
        with_spec,
        &[
            (
                "  allowAdminPaths:\n  - /sleep\n  - sleep",
                "llm.yaml:8:5: spec.allowAdminPaths[1]: `sleep` is not a plain path: write it like \
             `/sleep`, without pattern, query or host",
            ),
            (
                "  headers: {priority: Content-Type}\n  timeouts: {idleSeconds: 0}",
                "llm.yaml:6:13: spec.headers.priority: `Content-Type` is reserved by HTTP or by \
             the router: choose another name, such as x-request-priority\n\
             llm.yaml:7:14: spec.timeouts.idleSeconds: 0 is out of range: use 1 to 86400",
            ),
        ],
    );
}

#[test]
fn invalid_yaml_is_reported_at_its_position() {
    assert_refused(
        with_spec,
        &[
            ("  slo: [", "llm.yaml:6:8: invalid YAML: unclosed bracket '['"),
            ("  slo: {a: 1, a: 2}", "llm.yaml:6:15: duplicate field `a`: remove one of the two"),
            (
                "  slo: {a: .nan}",
                "llm.yaml:6:12: invalid YAML: non-finite float `.nan` rejected by the \
             configured policy",
            ),
            (
                "  slo: &a {byPriority: *a}",
                "llm.yaml:6:24: invalid YAML: recursive references require weak recursion types",
            ),
        ],
    );
}

#[test]
fn a_bomb_of_aliases_is_refused() {
    let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x]\n".to_owned();
    for i in 1..20 {
        let again = format!("*a{},", i - 1).repeat(9);
        bomb.push_str(&format!("a{i}: &a{i} [{again}]\n"));
    }
    assert!(refusal(&bomb).contains("invalid YAML"));
    assert!(refusal(&"[".repeat(100_000)).contains("invalid YAML"));
}

#[test]
fn wrong_endpoints_are_all_shown() {
    assert_refused(
        with_endpoints,
        &[
            (
                "- {name: p0, url: 'https://a:1'}\n- {name: 'p 1', url: 'http://a:1/v1'}",
                "llm.yaml:10:14: endpoints[0].url: `https://a:1`: TLS to endpoints is not supported: \
             write http://host:port\n\
             llm.yaml:11:4: endpoints[1].name: invalid name: use up to 253 letters, digits, `-`, `.` \
             and `_`\n\
             llm.yaml:11:17: endpoints[1].url: `http://a:1/v1`: only host and port are allowed: \
             write http://host:port, without user, path or query",
            ),
            ("- {name: p0}", "llm.yaml:10:3: endpoints[0]: missing field `url`"),
            (
                "- p0",
                "llm.yaml:10:3: endpoints[0]: invalid type: string \"p0\", expected an endpoint with \
             name and url",
            ),
            (
                "- {name: p0, url: 'http://a:1', role: prefill}",
                "llm.yaml:10:33: endpoints[0].role: unknown field `role`, expected one of `labels`, \
             `models`, `name`, `scheduling`, `tags`, `url`",
            ),
            (
                "- {name: p0, url: 'http://a:1'}\n- {name: p0, url: 'http://A:1'}",
                "llm.yaml:11:4: endpoints[1].name: endpoint `p0` is already defined on line 10: rename one\n\
             llm.yaml:11:14: endpoints[1].url: http://a:1 is already the address of endpoint `p0` \
             on line 10: list it once; an endpoint without a phase serves both",
            ),
            (
                "- {name: p0, url: 'http://a:1', models: ['']}",
                "llm.yaml:10:42: endpoints[0].models[0]: empty name: remove it or fill it in",
            ),
        ],
    );
}

#[test]
fn routes_have_names_and_models_of_their_own() {
    let second = |name: &str| format!("{ROUTE}---\n{}{LIST}  []", ROUTE.replace("llama", name));
    assert_refused(
        second,
        &[
            (
                "llama",
                "llm.yaml:9:12: metadata.name: route `llama` is already defined on line 3: rename one",
            ),
            (
                "other, namespace: n",
                "llm.yaml:11:12: spec.models[0]: model `tiny` belongs to both route `llama` (line 5) \
             and route `n/other`: remove it from one",
            ),
            (
                "Llama_2",
                "llm.yaml:9:12: metadata.name: invalid name: use up to 253 lower-case letters, \
             digits, `-` and `.`",
            ),
        ],
    );
}

#[test]
fn documents_say_what_they_are() {
    let nothing = "llm.yaml: no document of kind QoERoute: add one after a `---` line\n\
                   llm.yaml: no document of kind EndpointList: add one after a `---` line";
    assert_refused(
        ToString::to_string,
        &[
            ("", nothing),
            ("# nothing\n---\n---\n", nothing),
            (ROUTE, "llm.yaml: no document of kind EndpointList: add one after a `---` line"),
            ("- a", "llm.yaml:1:1: not a document: write a mapping with apiVersion, kind and spec"),
            ("a: b", "llm.yaml:1:1: kind: missing: write QoERoute or EndpointList"),
            (
                "---\nkind: Pod",
                "llm.yaml:2:1: kind: unknown kind `Pod`, expected QoERoute or EndpointList",
            ),
            (
                "kind: QoERoute\napiVersion: v1",
                "llm.yaml:2:1: apiVersion: unknown version `v1`, expected \
             qoe-router.io/v1alpha1",
            ),
            ("kind: QoERoute", "llm.yaml:1:1: apiVersion: missing: write qoe-router.io/v1alpha1"),
        ],
    );
}

#[test]
fn an_error_names_its_document() {
    let errors = load(&format!("{ROUTE}---\nkind: Pod\n")).unwrap_err();
    assert_eq!(errors.0[0].document, 2);
    assert_eq!(errors.to_string(), errors.in_file("").replacen(':', "", 1));
}
