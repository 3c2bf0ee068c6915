//! The content of a stand-alone file, after validation.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::route::QoERouteSpec;
use crate::standalone::url::EndpointUrl;

/// The validated content of a stand-alone file.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandaloneConfig {
    /// The routes, in the order of the file; their names and models are unique.
    pub routes: Vec<NamedRoute>,
    /// The endpoints, in the order of the file; their names and addresses are unique. The list may be
    /// empty.
    pub endpoints: Vec<EndpointSpec>,
}

/// A route with its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRoute {
    /// The value of `metadata.name`.
    pub name: String,
    /// The value of `metadata.namespace`, if present.
    pub namespace: Option<String>,
    /// The spec of the route.
    pub spec: QoERouteSpec,
}

/// One endpoint of an `EndpointList`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// The name of the endpoint in headers, logs and metrics.
    pub name: String,
    /// The address where the endpoint listens.
    pub url: EndpointUrl,
    /// Labels that routes select by, and that determine the phase.
    pub labels: BTreeMap<String, String>,
    /// Tags that determine the phase, such as `prefill`.
    pub tags: Vec<String>,
    /// The models that the endpoint serves. Empty: the router reads them from `/v1/models`.
    pub models: Vec<String>,
    /// The order in which the endpoint takes waiting requests.
    pub scheduling: Scheduling,
}

/// The order in which an endpoint takes waiting requests: vLLM's `--scheduling-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Scheduling {
    /// In order of arrival.
    #[default]
    Fcfs,
    /// By the field `priority` of the request, which the router adds.
    Priority,
}

impl NamedRoute {
    /// The name of the route in headers, logs and metrics: `namespace/name`, or the name alone.
    #[must_use]
    pub fn qualified_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}
