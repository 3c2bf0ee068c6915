//! The spec of a route, and what it says of endpoints and handoffs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::autoscaling::Autoscaling;
use crate::limits::{Headers, Limits, Timeouts};
use crate::policy::Policy;
use crate::port::Port;
use crate::schema::{MAX_CHARS, MAX_ITEMS, PROMPT_TOKENS, cel};
use crate::slo::Slo;

/// The class of routes that name none, and of an installation that is given none.
pub const DEFAULT_CLASS: &str = "default";

/// What a route serves, on which endpoints, and how well. Everything has a default that serves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[cfg_attr(feature = "crd", derive(kube_derive::CustomResource))]
#[cfg_attr(
    feature = "crd",
    expect(clippy::duplicated_attributes, reason = "every print column has a type of its own")
)]
#[cfg_attr(
    feature = "crd",
    kube(
        group = "qoe-router.io",
        version = "v1alpha1",
        kind = "QoERoute",
        plural = "qoeroutes",
        singular = "qoeroute",
        shortname = "qoer",
        category = "qoe",
        namespaced,
        doc = "Models, the endpoints that serve them, and the quality of experience they are to give.",
        status = "crate::crd::QoERouteStatus",
        crates(kube_core = "::kube_core", k8s_openapi = "::k8s_openapi"),
        printcolumn(name = "Model", type_ = "string", json_path = ".spec.models[0]"),
        printcolumn(name = "Prefill", type_ = "string", json_path = ".status.prefill"),
        printcolumn(name = "Decoding", type_ = "string", json_path = ".status.decoding"),
        printcolumn(
            name = "Ready",
            type_ = "string",
            json_path = ".status.conditions[?(@.type==\"Ready\")].status"
        ),
        printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
    )
)]
#[serde(rename_all = "camelCase", default)]
#[schemars(
    transform = crate::schema::for_kubernetes,
    extend("x-kubernetes-validations" = cel!(
        "has(self.endpoints.selector) && has(self.endpoints.selector.matchLabels) \
         && size(self.endpoints.selector.matchLabels) > 0"
            => "no pods are selected: set endpoints.selector.matchLabels to labels of the pods \
                that serve"
    ))
)]
pub struct QoERouteSpec {
    /// The class of installations that serve the route, where a cluster has several. An installation serves the routes
    /// of its own class and leaves all others alone.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub router_class_name: String,
    /// The model names that clients send. Empty: whatever the endpoints serve.
    #[schemars(
        length(max = MAX_ITEMS),
        inner(length(min = 1, max = MAX_CHARS)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub models: Vec<String>,
    /// Which endpoints serve the route, and how their phase is known.
    pub endpoints: Endpoints,
    /// How KV caches move from a prefill endpoint to a decoding endpoint.
    pub connector: Connector,
    /// How endpoints are chosen.
    pub policy: Policy,
    /// Which requests are prefilled on one endpoint and decoded on another.
    pub handoff: Handoff,
    /// The promise to the users.
    pub slo: Slo,
    /// Names of the request headers the router reads.
    pub headers: Headers,
    /// How long the router waits for endpoints.
    pub timeouts: Timeouts,
    /// How much the route takes.
    pub limits: Limits,
    /// Administrative paths of vLLM, such as `/sleep`, that clients may call through this route. Each is one whole
    /// path; all others of them are answered 404.
    #[schemars(
        length(max = MAX_ITEMS),
        inner(length(max = MAX_CHARS), regex(pattern = r"^(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub allow_admin_paths: Vec<String>,
    /// Bounds of the replicas that are recommended for each phase.
    pub autoscaling: Autoscaling,
}

impl Default for QoERouteSpec {
    fn default() -> Self {
        Self {
            router_class_name: DEFAULT_CLASS.to_owned(),
            models: Vec::new(),
            endpoints: Endpoints::default(),
            connector: Connector::default(),
            policy: Policy::default(),
            handoff: Handoff::default(),
            slo: Slo::default(),
            headers: Headers::default(),
            timeouts: Timeouts::default(),
            limits: Limits::default(),
            allow_admin_paths: Vec::new(),
            autoscaling: Autoscaling::default(),
        }
    }
}

/// Which endpoints serve the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoints {
    /// The endpoints' labels. In a cluster: of pods in the route's own namespace, and at least one label. In a file,
    /// empty means every endpoint there is.
    pub selector: Selector,
    /// The port on which pods serve: a number, or the name of a container port. Endpoints of a file have it in
    /// their URL.
    pub port: Port,
    /// How an endpoint's phase is read. The label families of other projects are known without it.
    pub phase: PhaseRules,
}

/// Selects endpoints by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that an endpoint must have, each with this value.
    #[schemars(extend("maxProperties" = 64))]
    pub match_labels: BTreeMap<String, String>,
}

/// How an endpoint's phase is read from its labels, its tags, or its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PhaseRules {
    /// Label keys that are looked at before the known ones; the first one present decides.
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1, max = MAX_CHARS)))]
    pub labels: Vec<String>,
    /// Label values or tags, or words in the endpoint's name, that mean prefill.
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1, max = MAX_CHARS)))]
    pub prefill_tags: Vec<String>,
    /// Label values or tags, or words in the endpoint's name, that mean decoding.
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1, max = MAX_CHARS)))]
    pub decoding_tags: Vec<String>,
}

impl Default for PhaseRules {
    fn default() -> Self {
        Self {
            labels: Vec::new(),
            prefill_tags: vec!["prefill".to_owned()],
            decoding_tags: vec!["decode".to_owned(), "decoding".to_owned()],
        }
    }
}

/// How a KV cache moves between endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Connector {
    /// What the endpoints can do.
    #[default]
    Auto,
    /// The decoding endpoint reads it from the prefill endpoint by NIXL.
    NixlPull,
    /// It does not: no request is handed off.
    None,
}

/// Which requests are handed off.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Handoff {
    /// When to hand off.
    pub mode: HandoffMode,
    /// With `Auto`, shorter prompts are served whole by one endpoint; in tokens. Left out: 0 with the policy
    /// `Predictive`, which decides for each request whether a handoff pays, and 512 with all others. To prefill 512
    /// tokens takes an 8B model some 12 ms on an H100: about what a handoff costs, and little beside the streams it
    /// delays.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = PROMPT_TOKENS.min, max = PROMPT_TOKENS.max))]
    pub min_prompt_tokens: Option<u32>,
}

/// When requests are handed off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HandoffMode {
    /// Where it is worth it.
    #[default]
    Auto,
    /// Wherever it is possible.
    Always,
    /// Never.
    Never,
}
