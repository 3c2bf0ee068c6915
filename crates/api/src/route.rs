//! The spec of a route, and its settings for endpoints and handoffs.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::autoscaling::Autoscaling;
use crate::limits::{Headers, Limits, Timeouts};
use crate::policy::Policy;
use crate::port::Port;
use crate::schema::{MAX_CHARS, MAX_ITEMS, PROMPT_TOKENS, cel};
use crate::slo::Slo;

/// The class of routes and installations that do not name one.
pub const DEFAULT_CLASS: &str = "default";

/// Which models a route serves, on which endpoints, and with which SLO. Every field has a working default.
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
        doc = "A set of models, the endpoints that serve them, and their SLO.",
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
    /// The class of the installation that serves the route, for clusters with several installations. An installation
    /// serves the routes of its own class and ignores all others.
    #[schemars(length(min = 1, max = 63), regex(pattern = r"^[a-z0-9]([a-z0-9-]*[a-z0-9])?$"))]
    pub router_class_name: String,
    /// The model names that clients send. Empty: every model that the endpoints serve.
    #[schemars(
        length(max = MAX_ITEMS),
        inner(length(min = 1, max = MAX_CHARS)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub models: Vec<String>,
    /// Which endpoints serve the route, and how the phase of each is determined.
    pub endpoints: Endpoints,
    /// How KV caches are transferred from a prefill endpoint to a decoding endpoint.
    pub connector: Connector,
    /// How endpoints are chosen for a request.
    pub policy: Policy,
    /// Which requests are prefilled on one endpoint and decoded on another.
    pub handoff: Handoff,
    /// The latency targets of the route.
    pub slo: Slo,
    /// Names of the request headers that the router reads.
    pub headers: Headers,
    /// How long the router waits for an endpoint.
    pub timeouts: Timeouts,
    /// How much the route accepts.
    pub limits: Limits,
    /// Administrative paths of vLLM, such as `/sleep`, that clients may call through this route. Each entry is one
    /// complete path. Administrative paths that are not listed are answered 404.
    #[schemars(
        length(max = MAX_ITEMS),
        inner(length(max = MAX_CHARS), regex(pattern = r"^(/[A-Za-z0-9_][A-Za-z0-9_.-]*)+$")),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub allow_admin_paths: Vec<String>,
    /// Bounds of the replica counts that are recommended for each phase.
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

/// The endpoints that serve the route.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Endpoints {
    /// Selects endpoints by label. In a cluster it selects pods in the namespace of the route and needs at least one
    /// label. In a file, an empty selector selects every endpoint.
    pub selector: Selector,
    /// The port on which pods serve: a number, or the name of a container port. Ignored in a file, where the URL of an
    /// endpoint contains the port.
    pub port: Port,
    /// How the phase of an endpoint is determined. The labels of common projects are recognized without it.
    pub phase: PhaseRules,
}

/// Selects endpoints by their labels.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Selector {
    /// Labels that an endpoint must have, with their values.
    #[schemars(extend("maxProperties" = 64))]
    pub match_labels: BTreeMap<String, String>,
}

/// How the phase of an endpoint is determined from its labels, its tags, or its name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PhaseRules {
    /// Label keys that are read before the recognized ones. The first key that is present decides.
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1, max = MAX_CHARS)))]
    pub labels: Vec<String>,
    /// Label values, tags, or words in the endpoint's name that mean prefill.
    #[schemars(length(max = MAX_ITEMS), inner(length(min = 1, max = MAX_CHARS)))]
    pub prefill_tags: Vec<String>,
    /// Label values, tags, or words in the endpoint's name that mean decoding.
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

/// How KV caches are transferred between endpoints.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Connector {
    /// Uses the connector that the endpoints declare.
    #[default]
    Auto,
    /// The decoding endpoint pulls the KV cache from the prefill endpoint over NIXL.
    NixlPull,
    /// KV caches are not transferred, so no request is handed off.
    None,
}

/// Which requests are prefilled on one endpoint and decoded on another.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Handoff {
    /// When requests are handed off.
    pub mode: HandoffMode,
    /// The shortest prompt that is handed off with `Auto`, in tokens. Shorter prompts are served by one endpoint.
    /// Omitted: 0 with the policy `Predictive`, which decides for each request whether a handoff pays, and 512 with
    /// all other policies. An 8B model on an H100 prefills 512 tokens in about 12 ms, which is about the cost of a
    /// handoff.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = PROMPT_TOKENS.min, max = PROMPT_TOKENS.max))]
    pub min_prompt_tokens: Option<u32>,
}

/// When requests are handed off.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum HandoffMode {
    /// Hands off where it pays.
    #[default]
    Auto,
    /// Hands off wherever possible.
    Always,
    /// Never hands off.
    Never,
}
