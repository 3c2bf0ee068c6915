//! The configuration of one route, as a push carries it: its types, its checks, and its encoding.

use std::collections::HashSet;
use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use prost::Message;
use qoe_api::QoERouteSpec;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::state::Scheduling;
use qoe_core::phase::{PhaseRules, Role, RoleSource};
use thiserror::Error;

use crate::proto;

/// Everything a router needs to serve one route.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteConfig {
    /// The route's spec; its selector and phase rules were applied already.
    pub spec: QoERouteSpec,
    /// Seconds since the Unix epoch: of two routes that could serve a request, the older does.
    pub created: i64,
    /// The endpoints that serve now.
    pub endpoints: Vec<EndpointConfig>,
}

/// The rules by which a route's pods get their phases, in the core's types.
#[must_use]
pub fn phase_rules(rules: &qoe_api::PhaseRules) -> PhaseRules {
    PhaseRules {
        labels: rules.labels.clone(),
        prefill_tags: rules.prefill_tags.clone(),
        decoding_tags: rules.decoding_tags.clone(),
    }
}

/// One endpoint of a pushed route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointConfig {
    /// `namespace/name` of its pod.
    pub name: String,
    /// Where it listens: an address of the pod, never a name.
    pub address: SocketAddr,
    /// The phases that it serves.
    pub role: Role,
    /// Where the role was found.
    pub role_source: RoleSource,
    /// How it transfers KV caches.
    pub connector: Connector,
    /// Only endpoints of one group are paired.
    pub group: Option<String>,
    /// The order in which it takes waiting requests.
    pub scheduling: Scheduling,
}

/// Why a pushed route cannot be used.
#[derive(Debug, Error)]
pub enum InvalidRoute {
    /// The bytes cannot be decoded.
    #[error("the push cannot be decoded: {0}")]
    Decode(#[from] prost::DecodeError),
    /// The spec is not JSON that this release can read.
    #[error("the spec cannot be read: {0}: is the router older than the controller?")]
    Spec(#[from] serde_json::Error),
    /// The spec breaks a rule.
    #[error("spec.{path}: {message}")]
    Rule {
        /// The path of the field, below `spec`.
        path: String,
        /// What is wrong with the field.
        message: String,
    },
    /// An endpoint cannot be connected to.
    #[error("endpoint `{name}` has no usable address: {why}")]
    Address {
        /// The endpoint's name.
        name: String,
        /// What is wrong with the address.
        why: &'static str,
    },
    /// Two endpoints with one name or one address.
    #[error("endpoint `{0}` shares its name or address with another")]
    Twice(String),
    /// An endpoint without a role, or with one that this release does not know.
    #[error("endpoint `{0}` has a role that this release does not know")]
    Role(String),
}

impl RouteConfig {
    /// Encodes the body of a push.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let spec = serde_json::to_string(&self.spec).expect("a spec has only plain fields");
        let endpoints = self.endpoints.iter().map(EndpointConfig::to_proto).collect();
        proto::Route { spec, created: self.created, endpoints }.encode_to_vec().into()
    }

    /// Decodes the body of a push, and checks everything in it.
    ///
    /// # Errors
    /// The first thing that is wrong. Nothing of such a push may be used.
    pub fn decode(body: &[u8]) -> Result<Self, InvalidRoute> {
        let route = proto::Route::decode(body)?;
        let spec: QoERouteSpec = serde_json::from_str(&route.spec)?;
        if let Some(violation) = spec.validate().into_iter().next() {
            let (path, message) = (violation.path.to_string(), violation.message);
            return Err(InvalidRoute::Rule { path, message });
        }
        let endpoints = route.endpoints.into_iter().map(EndpointConfig::from_proto);
        let endpoints = endpoints.collect::<Result<Vec<_>, _>>()?;
        let (mut names, mut addresses) = (HashSet::new(), HashSet::new());
        for endpoint in &endpoints {
            if !names.insert(&endpoint.name) || !addresses.insert(endpoint.address) {
                return Err(InvalidRoute::Twice(endpoint.name.clone()));
            }
        }
        Ok(Self { spec, created: route.created, endpoints })
    }
}

impl EndpointConfig {
    fn to_proto(&self) -> proto::Endpoint {
        proto::Endpoint {
            name: self.name.clone(),
            ip: match self.address.ip() {
                IpAddr::V4(ip) => ip.octets().to_vec(),
                IpAddr::V6(ip) => ip.octets().to_vec(),
            },
            port: u32::from(self.address.port()),
            role: match self.role {
                Role::Prefill => proto::Role::Prefill,
                Role::Decoding => proto::Role::Decoding,
                Role::Mixed => proto::Role::Mixed,
            }
            .into(),
            role_source: match self.role_source {
                RoleSource::Unknown => proto::RoleSource::Unknown,
                RoleSource::Label => proto::RoleSource::Label,
                RoleSource::Tag => proto::RoleSource::Tag,
                RoleSource::Name => proto::RoleSource::Name,
            }
            .into(),
            connector: match self.connector {
                Connector::None => proto::Connector::None,
                Connector::NixlPull => proto::Connector::NixlPull,
            }
            .into(),
            group: self.group.clone().unwrap_or_default(),
            scheduling: match self.scheduling {
                Scheduling::Fcfs => proto::Scheduling::Fcfs,
                Scheduling::Priority => proto::Scheduling::Priority,
            }
            .into(),
        }
    }

    fn from_proto(endpoint: proto::Endpoint) -> Result<Self, InvalidRoute> {
        let role = match endpoint.role() {
            proto::Role::Prefill => Role::Prefill,
            proto::Role::Decoding => Role::Decoding,
            proto::Role::Mixed => Role::Mixed,
            proto::Role::Unspecified => return Err(InvalidRoute::Role(endpoint.name)),
        };
        let role_source = match endpoint.role_source() {
            proto::RoleSource::Unknown => RoleSource::Unknown,
            proto::RoleSource::Label => RoleSource::Label,
            proto::RoleSource::Tag => RoleSource::Tag,
            proto::RoleSource::Name => RoleSource::Name,
        };
        // With a connector that this release does not know, an endpoint can still serve whole requests.
        let connector = match proto::Connector::try_from(endpoint.connector) {
            Ok(proto::Connector::NixlPull) => Connector::NixlPull,
            Ok(proto::Connector::None) | Err(_) => Connector::None,
        };
        // And with an unknown scheduling policy it takes requests in some order.
        let scheduling = match proto::Scheduling::try_from(endpoint.scheduling) {
            Ok(proto::Scheduling::Priority) => Scheduling::Priority,
            Ok(proto::Scheduling::Fcfs) | Err(_) => Scheduling::Fcfs,
        };
        match socket_address(&endpoint.ip, endpoint.port) {
            Ok(address) => Ok(Self {
                address,
                role,
                role_source,
                connector,
                scheduling,
                group: (!endpoint.group.is_empty()).then_some(endpoint.group),
                name: endpoint.name,
            }),
            Err(why) => Err(InvalidRoute::Address { name: endpoint.name, why }),
        }
    }
}

/// Whether an address is one that a single host can have.
#[must_use]
pub fn of_one_host(ip: IpAddr) -> bool {
    !ip.is_unspecified() && !ip.is_multicast() && ip != IpAddr::from([255; 4])
}

fn socket_address(ip: &[u8], port: u32) -> Result<SocketAddr, &'static str> {
    let ip = match (<[u8; 4]>::try_from(ip), <[u8; 16]>::try_from(ip)) {
        (Ok(four), _) => IpAddr::from(four),
        (_, Ok(sixteen)) => IpAddr::from(sixteen),
        _ => return Err("an IP address has 4 or 16 bytes"),
    };
    if !of_one_host(ip) {
        return Err("its IP address is not that of a single host");
    }
    match u16::try_from(port) {
        Ok(port) if port != 0 => Ok(SocketAddr::new(ip, port)),
        _ => Err("a port is between 1 and 65535"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint(name: &str, address: &str) -> EndpointConfig {
        EndpointConfig {
            name: name.to_owned(),
            address: address.parse().unwrap(),
            role: Role::Prefill,
            role_source: RoleSource::Label,
            connector: Connector::NixlPull,
            group: Some("a/0".to_owned()),
            scheduling: Scheduling::Priority,
        }
    }

    fn config(endpoints: Vec<EndpointConfig>) -> RouteConfig {
        let spec = QoERouteSpec { models: vec!["m".to_owned()], ..QoERouteSpec::default() };
        RouteConfig { spec, created: 7, endpoints }
    }

    #[test]
    fn what_is_pushed_is_what_is_read() {
        let six = EndpointConfig {
            role: Role::Mixed,
            role_source: RoleSource::Unknown,
            connector: Connector::None,
            group: None,
            scheduling: Scheduling::Fcfs,
            ..endpoint("llm/b", "[fd00::1]:8000")
        };
        let config = config(vec![endpoint("llm/a", "127.0.0.1:8000"), six]);
        assert_eq!(RouteConfig::decode(&config.encode()).unwrap(), config);
    }

    #[test]
    fn nothing_invalid_is_read() {
        let refused = |config: RouteConfig| {
            RouteConfig::decode(&config.encode()).expect_err("it is invalid").to_string()
        };
        let a = endpoint("llm/a", "127.0.0.1:8000");
        assert_eq!(
            refused(config(vec![a.clone(), a.clone()])),
            "endpoint `llm/a` shares its name or address with another"
        );
        for (address, why) in [
            ("0.0.0.0:80", "its IP address is not that of a single host"),
            ("255.255.255.255:80", "its IP address is not that of a single host"),
            ("[ff02::1]:80", "its IP address is not that of a single host"),
            ("127.0.0.1:0", "a port is between 1 and 65535"),
        ] {
            let error = refused(config(vec![endpoint("llm/a", address)]));
            assert_eq!(error, format!("endpoint `llm/a` has no usable address: {why}"));
        }
        let mut bad = config(vec![]);
        bad.spec.slo.ttft_milliseconds = 0;
        assert!(refused(bad).starts_with("spec.slo.ttftMilliseconds: 0 is out of range"));
        assert!(RouteConfig::decode(b"\xff\xff").is_err());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_refused_without_harm(bytes: Vec<u8>) {
            drop(RouteConfig::decode(&bytes));
        }
    }
}
