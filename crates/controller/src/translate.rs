//! Translates a route and the pods of its namespace into the state that is pushed to routers. Pure: the same input gives
//! the same state, byte for byte, on every replica.

use std::collections::{BTreeSet, HashSet};
use std::net::SocketAddr;

use qoe_api::{Connector as Wanted, QoERouteSpec};
use qoe_core::endpoint;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::state::Scheduling;
use qoe_core::phase::{PhaseRules, Role, RoleSource};
use qoe_discovery::{EndpointConfig, RouteConfig, of_one_host, phase_rules};

use crate::pod::{Declared, PodFacts, PodState};

/// Pods that a finding names; the rest are counted.
const NAMED: usize = 3;

/// The result of a translation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Translation {
    /// The state that routers get.
    pub(crate) config: RouteConfig,
    /// Endpoints that can prefill.
    pub(crate) prefill: Count,
    /// Endpoints that can decode.
    pub(crate) decoding: Count,
    /// Pods that match the selector and have not ended.
    pub(crate) selected: u32,
    /// What an operator should know about the pods.
    pub(crate) findings: Findings,
}

/// Endpoints of one phase.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) ready: u32,
    pub(crate) total: u32,
}

impl Count {
    fn add(&mut self, ready: bool) {
        self.total += 1;
        self.ready += u32::from(ready);
    }
}

/// Pods of a route with something wrong or missing, by what it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Findings {
    /// They declare no phase, so they serve both.
    pub(crate) phase_unknown: Pods,
    /// They have no TCP port with the route's port name.
    pub(crate) port_missing: Pods,
    /// They are ready but have no usable IP address, or that of another pod.
    pub(crate) address_bad: Pods,
    /// Routers do not support their KV connector.
    pub(crate) connector_unknown: Pods,
    /// Their scheduling annotation is not a policy.
    pub(crate) scheduling_unknown: Pods,
}

/// A count of pods, with the first few names.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Pods {
    pub(crate) count: usize,
    named: BTreeSet<String>,
}

impl Pods {
    fn add(&mut self, name: &str) {
        self.count += 1;
        if self.named.len() < NAMED {
            self.named.insert(name.to_owned());
        }
    }

    #[cfg(test)]
    pub(crate) fn of(names: &[&str]) -> Self {
        let mut pods = Self::default();
        names.iter().for_each(|name| pods.add(name));
        pods
    }

    /// `a, b and 3 more`.
    pub(crate) fn names(&self) -> String {
        let named: Vec<&str> = self.named.iter().map(String::as_str).collect();
        match self.count - named.len() {
            0 => named.join(", "),
            more => format!("{} and {more} more", named.join(", ")),
        }
    }
}

/// What is needed of a route to translate it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RouteInput<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) created: i64,
    pub(crate) spec: &'a QoERouteSpec,
    /// Models of the spec that an older route has taken.
    pub(crate) lost: &'a [String],
}

/// Whether the selector of `spec` matches.
pub(crate) fn selects(spec: &QoERouteSpec, pod: &PodFacts) -> bool {
    let wanted = &spec.endpoints.selector.match_labels;
    !wanted.is_empty() && wanted.iter().all(|(key, value)| pod.labels.get(key) == Some(value))
}

/// Translates a route over the pods of its namespace, which come in the order of their names.
pub(crate) fn translate<'a>(
    route: RouteInput<'_>,
    pods: impl Iterator<Item = &'a PodFacts>,
) -> Translation {
    let mut spec = route.spec.clone();
    spec.models.retain(|model| !route.lost.contains(model));
    let mut reading = Reading {
        namespace: route.namespace,
        rules: phase_rules(&spec.endpoints.phase),
        spec: &spec,
        taken: HashSet::new(),
        endpoints: Vec::new(),
        prefill: Count::default(),
        decoding: Count::default(),
        selected: 0,
        findings: Findings::default(),
    };
    for pod in pods.filter(|pod| selects(route.spec, pod)) {
        reading.pod(pod);
    }
    let Reading { endpoints, prefill, decoding, selected, findings, .. } = reading;
    // Routers need not know how endpoints were chosen; what is left out changes nothing for them.
    spec.endpoints = qoe_api::Endpoints::default();
    spec.router_class_name = qoe_api::DEFAULT_CLASS.to_owned();
    spec.autoscaling = qoe_api::Autoscaling::default();
    let config = RouteConfig { spec, created: route.created, endpoints };
    Translation { config, prefill, decoding, selected, findings }
}

struct Reading<'a> {
    namespace: &'a str,
    rules: PhaseRules,
    spec: &'a QoERouteSpec,
    taken: HashSet<SocketAddr>,
    endpoints: Vec<EndpointConfig>,
    prefill: Count,
    decoding: Count,
    selected: u32,
    findings: Findings,
}

impl Reading<'_> {
    fn pod(&mut self, pod: &PodFacts) {
        let ready = match pod.state {
            PodState::Gone | PodState::Worker | PodState::Sleeping | PodState::Oversized => return,
            PodState::Ready => true,
            PodState::Pending => false,
        };
        self.selected += 1;
        let (role, role_source) = self.rules.role(&pod.labels, &[], &[&pod.name]);
        if role_source == RoleSource::Unknown {
            self.findings.phase_unknown.add(&pod.name);
        }
        let address = self.address(pod, ready);
        let serves = ready && address.is_some();
        if role != Role::Decoding {
            self.prefill.add(serves);
        }
        if role != Role::Prefill {
            self.decoding.add(serves);
        }
        let connector = self.connector(pod);
        let scheduling = self.scheduling(pod);
        if let Some(address) = address.filter(|_| serves) {
            self.endpoints.push(EndpointConfig {
                name: format!("{}/{}", self.namespace, pod.name),
                address,
                role,
                role_source,
                connector,
                group: endpoint::group(&pod.labels),
                scheduling,
            });
        }
    }

    fn address(&mut self, pod: &PodFacts, ready: bool) -> Option<SocketAddr> {
        let Some(port) = pod.port(&self.spec.endpoints.port) else {
            self.findings.port_missing.add(&pod.name);
            return None;
        };
        let address = pod.ip.filter(|ip| of_one_host(*ip)).map(|ip| SocketAddr::new(ip, port));
        // Of two pods with one address, one is about to be told that it has ended.
        let free = address.filter(|address| !ready || self.taken.insert(*address));
        if ready && free.is_none() {
            self.findings.address_bad.add(&pod.name);
        }
        free
    }

    fn connector(&mut self, pod: &PodFacts) -> Connector {
        match (self.spec.connector, &pod.connector) {
            (Wanted::None, _) => Connector::None,
            (Wanted::NixlPull, _) => Connector::NixlPull,
            (Wanted::Auto, Declared::Known(connector)) => *connector,
            // NIXL is what vLLM's own recipes use; an endpoint that answers otherwise is not handed from.
            (Wanted::Auto, Declared::Nothing) => Connector::NixlPull,
            (Wanted::Auto, Declared::Unknown(_)) => {
                self.findings.connector_unknown.add(&pod.name);
                Connector::None
            }
        }
    }

    /// Whatever is not surely by priority is first come, first served: such a server refuses requests with a priority.
    fn scheduling(&mut self, pod: &PodFacts) -> Scheduling {
        pod.scheduling.unwrap_or_else(|| {
            self.findings.scheduling_unknown.add(&pod.name);
            Scheduling::Fcfs
        })
    }
}

#[cfg(test)]
mod tests;
