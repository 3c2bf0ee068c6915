//! The sources of a snapshot: one form for the routes of a file and for those that controllers push.

use std::sync::Arc;

use qoe_api as api;
use qoe_api::standalone::{self, EndpointSpec, NamedRoute, StandaloneConfig};
use qoe_core::endpoint;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::state::Scheduling;
use qoe_core::phase::{Role, RoleSource};
use qoe_discovery::RouteConfig;

/// A route with the endpoints that serve it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct RouteSource {
    /// `namespace/name`, or the name alone.
    pub(crate) name: String,
    pub(crate) spec: api::QoERouteSpec,
    pub(crate) endpoints: Vec<EndpointSource>,
}

/// One endpoint as a route sees it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndpointSource {
    pub(crate) name: String,
    /// `host:port`.
    pub(crate) authority: String,
    pub(crate) role: Role,
    pub(crate) role_source: RoleSource,
    pub(crate) connector: Connector,
    pub(crate) group: Option<String>,
    pub(crate) scheduling: Scheduling,
    /// The models it serves, where the configuration lists them; empty: it is asked for them.
    pub(crate) models: Vec<String>,
}

impl RouteSource {
    /// The routes of a file, in its order, each with the endpoints it selects.
    pub(crate) fn of_file(config: &StandaloneConfig) -> Vec<Arc<Self>> {
        config.routes.iter().map(|route| Arc::new(Self::of_document(route, config))).collect()
    }

    fn of_document(route: &NamedRoute, config: &StandaloneConfig) -> Self {
        let wanted = &route.spec.endpoints.selector.match_labels;
        let selected = |endpoint: &&EndpointSpec| {
            wanted.iter().all(|(key, value)| endpoint.labels.get(key) == Some(value))
        };
        let endpoints = config.endpoints.iter().filter(selected);
        Self {
            name: route.qualified_name(),
            endpoints: endpoints.map(|endpoint| member(&route.spec, endpoint)).collect(),
            spec: route.spec.clone(),
        }
    }

    /// A route as a controller pushed it.
    pub(crate) fn of_push(name: &str, config: RouteConfig) -> Self {
        let endpoints = config.endpoints.into_iter().map(|endpoint| EndpointSource {
            name: endpoint.name,
            authority: endpoint.address.to_string(),
            role: endpoint.role,
            role_source: endpoint.role_source,
            connector: endpoint.connector,
            group: endpoint.group,
            scheduling: endpoint.scheduling,
            models: Vec::new(),
        });
        Self { name: name.to_owned(), endpoints: endpoints.collect(), spec: config.spec }
    }
}

/// An endpoint of a file, with its phase. Controllers have read the phase of those that they push.
fn member(spec: &api::QoERouteSpec, endpoint: &EndpointSpec) -> EndpointSource {
    let rules = qoe_discovery::phase_rules(&spec.endpoints.phase);
    let names = [endpoint.name.as_str(), endpoint.url.host()];
    let (role, role_source) = rules.role(&endpoint.labels, &endpoint.tags, &names);
    EndpointSource {
        name: endpoint.name.clone(),
        authority: endpoint.url.authority(),
        role,
        role_source,
        connector: match spec.connector {
            // NIXL is what vLLM's recipes use. Where it is missing, answers lack its parameters, and handoffs from that
            // endpoint stop for a while.
            api::Connector::Auto | api::Connector::NixlPull => Connector::NixlPull,
            api::Connector::None => Connector::None,
        },
        group: endpoint::group(&endpoint.labels),
        scheduling: match endpoint.scheduling {
            standalone::Scheduling::Fcfs => Scheduling::Fcfs,
            standalone::Scheduling::Priority => Scheduling::Priority,
        },
        models: endpoint.models.clone(),
    }
}
