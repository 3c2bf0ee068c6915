//! What a stand-alone router's file says.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::route::QoERouteSpec;
use crate::standalone::url::EndpointUrl;

/// Everything the file says, checked.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StandaloneConfig {
    /// The routes, in the order of the file; their names and models are unique.
    pub routes: Vec<NamedRoute>,
    /// The endpoints, in the order of the file; their names and addresses are unique. None is valid.
    pub endpoints: Vec<EndpointSpec>,
}

/// A route and its name.
#[derive(Clone, Debug, PartialEq)]
pub struct NamedRoute {
    /// `metadata.name`.
    pub name: String,
    /// `metadata.namespace`, if it has one.
    pub namespace: Option<String>,
    /// What the route serves.
    pub spec: QoERouteSpec,
}

/// One endpoint of an `EndpointList`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointSpec {
    /// Its name in headers, logs and metrics.
    pub name: String,
    /// Where it listens.
    pub url: EndpointUrl,
    /// What routes select it by, and its phase is read from.
    pub labels: BTreeMap<String, String>,
    /// Words that say its phase.
    pub tags: Vec<String>,
    /// The models it serves; empty: it is asked.
    pub models: Vec<String>,
    /// In which order it takes what waits there.
    pub scheduling: Scheduling,
}

/// In which order a server takes what waits there: vLLM's `--scheduling-policy`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
pub enum Scheduling {
    /// As it came.
    #[default]
    Fcfs,
    /// By the request's `priority`, which the router then adds.
    Priority,
}

impl NamedRoute {
    /// `namespace/name`, or the name alone: the route's name in headers, logs and metrics.
    #[must_use]
    pub fn qualified_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{namespace}/{}", self.name),
            None => self.name.clone(),
        }
    }
}
