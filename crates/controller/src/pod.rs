//! A pod, reduced to what routing needs as soon as it is read. What a pod declares can harm only the pod itself.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::state::Scheduling;
use serde::Deserialize;

/// The annotation that names a pod's KV connector; it overrides the container's arguments.
pub(crate) const CONNECTOR_ANNOTATION: &str = "qoe-router.io/kv-connector";
/// The annotation with a pod's scheduling policy, `priority` or `fcfs`; it overrides the container's arguments.
pub(crate) const SCHEDULING_ANNOTATION: &str = "qoe-router.io/scheduling";
/// vLLM's argument for the scheduling policy.
const SCHEDULING_ARGUMENT: &str = "--scheduling-policy";
/// Bytes that the labels of a pod may take together; with more it is not used.
const MAX_LABEL_BYTES: usize = 16 * 1024;
/// Bytes of a container's command line that are searched.
const MAX_ARGUMENT_BYTES: usize = 64 * 1024;

/// The fields of a pod that are read; all others are dropped while it is parsed.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = k8s_openapi::api::core::v1::Pod)]
pub(crate) struct Pod {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: PodSpec,
    #[serde(default)]
    status: PodStatus,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpec {
    containers: Vec<Container>,
    /// Native sidecars can have the serving port too.
    init_containers: Vec<Container>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Container {
    command: Vec<String>,
    args: Vec<String>,
    ports: Vec<ContainerPort>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ContainerPort {
    name: Option<String>,
    container_port: i64,
    protocol: Option<String>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodStatus {
    phase: Option<String>,
    conditions: Vec<PodCondition>,
    #[serde(rename = "podIPs")]
    pod_ips: Vec<PodIp>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodCondition {
    #[serde(rename = "type")]
    kind: String,
    status: String,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct PodIp {
    ip: String,
}

/// What is kept of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PodFacts {
    pub(crate) name: Arc<str>,
    pub(crate) labels: BTreeMap<String, String>,
    /// Its first address, once it has one.
    pub(crate) ip: Option<IpAddr>,
    pub(crate) state: PodState,
    /// Named TCP ports of its containers.
    ports: Box<[(Box<str>, u16)]>,
    pub(crate) connector: Declared,
    /// Its scheduling policy; `None`: its annotation is not a policy.
    pub(crate) scheduling: Option<Scheduling>,
}

/// Whether a pod serves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodState {
    /// It is ready.
    Ready,
    /// It is not ready yet.
    Pending,
    /// It is labelled as sleeping, and is not expected to become ready.
    Sleeping,
    /// It is terminating, or has ended.
    Gone,
    /// A worker of a group, whose leader serves.
    Worker,
    /// Its labels exceed [`MAX_LABEL_BYTES`].
    Oversized,
}

/// The KV connector that a pod declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Declared {
    /// None.
    Nothing,
    /// One that routers support.
    Known(Connector),
    /// One that they do not, with its name.
    Unknown(Box<str>),
}

impl PodFacts {
    /// The pod's namespace, and what is kept of it; `None` for one without a name, which does not exist.
    pub(crate) fn of(pod: Pod) -> Option<(String, Self)> {
        let Pod { metadata, spec, status } = pod;
        let labels = metadata.labels.unwrap_or_default();
        let annotations = metadata.annotations.unwrap_or_default();
        let size: usize = labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        let oversized = size > MAX_LABEL_BYTES;
        let state = if oversized {
            PodState::Oversized
        } else {
            state(metadata.deletion_timestamp.is_some(), &labels, &status)
        };
        let facts = Self {
            name: metadata.name?.into(),
            ip: status.pod_ips.first().and_then(|ip| ip.ip.parse().ok()),
            state,
            ports: spec.named_ports(),
            connector: declared(annotations.get(CONNECTOR_ANNOTATION), &spec),
            scheduling: scheduling(annotations.get(SCHEDULING_ANNOTATION), &spec),
            labels: if oversized { BTreeMap::new() } else { labels },
        };
        Some((metadata.namespace.unwrap_or_default(), facts))
    }

    /// The number of a port that is given by name or number.
    pub(crate) fn port(&self, port: &qoe_api::Port) -> Option<u16> {
        match port {
            qoe_api::Port::Number(number) => Some(*number),
            qoe_api::Port::Name(name) => {
                self.ports.iter().find(|(known, _)| **known == **name).map(|(_, number)| *number)
            }
        }
    }
}

fn state(terminating: bool, labels: &BTreeMap<String, String>, status: &PodStatus) -> PodState {
    let label = |key: &str| labels.get(key).map(String::as_str);
    if terminating || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed")) {
        return PodState::Gone;
    }
    if label("leaderworkerset.sigs.k8s.io/worker-index").is_some_and(|index| index != "0") {
        return PodState::Worker;
    }
    if label("sleeping") == Some("true") {
        return PodState::Sleeping;
    }
    let ready = |condition: &PodCondition| condition.kind == "Ready" && condition.status == "True";
    if status.conditions.iter().any(ready) { PodState::Ready } else { PodState::Pending }
}

impl PodSpec {
    fn all(&self) -> impl Iterator<Item = &Container> {
        self.containers.iter().chain(&self.init_containers)
    }

    fn named_ports(&self) -> Box<[(Box<str>, u16)]> {
        let tcp = |port: &&ContainerPort| port.protocol.as_deref().is_none_or(|p| p == "TCP");
        self.all()
            .flat_map(|container| &container.ports)
            .filter(tcp)
            .filter_map(|port| {
                let number =
                    u16::try_from(port.container_port).ok().filter(|number| *number != 0)?;
                Some((port.name.as_deref()?.into(), number))
            })
            .collect()
    }
}

/// The annotation's word, else that of vLLM's `--kv-transfer-config`.
fn declared(annotation: Option<&String>, spec: &PodSpec) -> Declared {
    match annotation.map(|value| value.trim()) {
        Some("NixlPull") => Declared::Known(Connector::NixlPull),
        Some("None") => Declared::Known(Connector::None),
        Some(other) => Declared::Unknown(other.chars().take(64).collect::<String>().into()),
        None => spec
            .all()
            .flat_map(|container| container.command.iter().chain(&container.args))
            .filter(|argument| argument.len() <= MAX_ARGUMENT_BYTES)
            .find_map(|argument| connector_in(argument))
            .unwrap_or(Declared::Nothing),
    }
}

/// The annotation's word, else that of vLLM's `--scheduling-policy`.
fn scheduling(annotation: Option<&String>, spec: &PodSpec) -> Option<Scheduling> {
    if let Some(annotation) = annotation {
        return match annotation.trim().to_ascii_lowercase().as_str() {
            "priority" => Some(Scheduling::Priority),
            "fcfs" => Some(Scheduling::Fcfs),
            _ => None,
        };
    }
    let by_priority = spec.all().any(|container| {
        let arguments = container.command.iter().chain(&container.args);
        let mut words = arguments
            .filter(|argument| argument.len() <= MAX_ARGUMENT_BYTES)
            .flat_map(|argument| {
                argument.split(|c: char| c.is_whitespace() || "='\"\\".contains(c))
            })
            .filter(|word| !word.is_empty())
            .skip_while(|word| *word != SCHEDULING_ARGUMENT);
        words.nth(1) == Some("priority")
    });
    Some(if by_priority { Scheduling::Priority } else { Scheduling::Fcfs })
}

/// The value of `"kv_connector"` in a command line's argument: JSON of its own, or within a shell's.
fn connector_in(argument: &str) -> Option<Declared> {
    let (_, rest) = argument.split_once("kv_connector")?;
    let quote = |c: char| matches!(c, '"' | '\'' | '\\');
    let rest = rest.trim_start_matches(quote).trim_start().strip_prefix(':')?;
    let rest = rest.trim_start().trim_start_matches(quote);
    let name: String = rest.chars().take_while(char::is_ascii_alphanumeric).take(64).collect();
    match name.as_str() {
        "" => None,
        "NixlConnector" => Some(Declared::Known(Connector::NixlPull)),
        _ => Some(Declared::Unknown(name.into())),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use serde_json::{Value, json};

    use super::*;

    /// A pod from its JSON.
    pub(crate) fn facts(pod: Value) -> PodFacts {
        PodFacts::of(serde_json::from_value(pod).unwrap()).unwrap().1
    }

    /// A pod that serves.
    pub(crate) fn ready(name: &str, ip: &str, labels: Value) -> Value {
        json!({
            "metadata": {"name": name, "namespace": "llm", "labels": labels},
            "spec": {"containers": [{"name": "vllm", "ports": [
                {"name": "metrics", "containerPort": 9000},
                {"name": "http", "containerPort": 8000},
            ]}]},
            "status": {
                "phase": "Running",
                "podIPs": [{"ip": ip}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        })
    }

    fn changed(change: impl FnOnce(&mut Value)) -> PodFacts {
        let mut pod = ready("a", "10.1.2.3", json!({"app": "vllm"}));
        change(&mut pod);
        facts(pod)
    }

    #[test]
    fn only_a_ready_pod_that_stays_awake_and_leads_serves() {
        let state = |change: fn(&mut Value)| changed(change).state;
        assert_eq!(state(|_| {}), PodState::Ready);
        assert_eq!(
            state(|pod| pod["status"]["conditions"][0]["status"] = json!("False")),
            PodState::Pending
        );
        assert_eq!(state(|pod| pod["status"] = json!({})), PodState::Pending);
        assert_eq!(state(|pod| pod["status"]["phase"] = json!("Failed")), PodState::Gone);
        assert_eq!(
            state(|pod| pod["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z")),
            PodState::Gone
        );
        assert_eq!(
            state(|pod| pod["metadata"]["labels"]["sleeping"] = json!("true")),
            PodState::Sleeping
        );
        let worker = "leaderworkerset.sigs.k8s.io/worker-index";
        let index =
            |index: &str| changed(|pod| pod["metadata"]["labels"][worker] = json!(index)).state;
        assert_eq!((index("0"), index("1")), (PodState::Ready, PodState::Worker));
        assert_eq!(
            state(|pod| pod["metadata"]["labels"]["x"] = json!("y".repeat(20_000))),
            PodState::Oversized
        );
    }

    #[test]
    fn ports_are_found_by_name_and_impossible_ones_are_not() {
        let name = |name: &str| qoe_api::Port::Name(name.to_owned());
        let pod = changed(|pod| {
            pod["spec"]["containers"][0]["ports"] = json!([
                {"name": "zero", "containerPort": 0},
                {"name": "udp", "containerPort": 53, "protocol": "UDP"},
                {"name": "huge", "containerPort": 70_000},
                {"name": "http", "containerPort": 8001, "protocol": "TCP"},
            ]);
        });
        assert_eq!(pod.port(&name("http")), Some(8001));
        for none in ["zero", "udp", "huge", "other"] {
            assert_eq!(pod.port(&name(none)), None, "{none}");
        }
        assert_eq!(pod.port(&qoe_api::Port::Number(8000)), Some(8000));
    }

    #[test]
    fn addresses_come_from_the_status_alone() {
        assert_eq!(changed(|_| {}).ip, Some("10.1.2.3".parse().unwrap()));
        let lie = changed(|pod| {
            pod["metadata"]["annotations"] = json!({"qoe-router.io/address": "10.9.9.9"});
            pod["status"]["podIPs"] = json!([{"ip": "evil.example\r\nHost: x"}]);
        });
        assert_eq!(lie.ip, None);
    }

    #[test]
    fn the_order_is_by_priority_where_annotation_or_arguments_say_so() {
        let of =
            |args: Value| changed(|pod| pod["spec"]["containers"][0]["args"] = args).scheduling;
        for args in [
            json!(["--scheduling-policy", "priority"]),
            json!(["--model", "m", "--scheduling-policy=priority"]),
            json!(["exec vllm serve m --scheduling-policy 'priority' --port 8000"]),
        ] {
            assert_eq!(of(args.clone()), Some(Scheduling::Priority), "{args}");
        }
        for args in [
            json!([]),
            json!(["--scheduling-policy"]),
            json!(["--scheduling-policy", "fcfs"]),
            json!(["--served-model-name", "priority"]),
        ] {
            assert_eq!(of(args.clone()), Some(Scheduling::Fcfs), "{args}");
        }
        let annotated = |value: &str| {
            changed(|pod| {
                pod["spec"]["containers"][0]["args"] = json!(["--scheduling-policy=priority"]);
                pod["metadata"]["annotations"] = json!({SCHEDULING_ANNOTATION: value});
            })
            .scheduling
        };
        assert_eq!(annotated("Priority "), Some(Scheduling::Priority));
        assert_eq!(annotated("fcfs"), Some(Scheduling::Fcfs), "the annotation has the last word");
        assert_eq!(annotated("prio"), None);
    }

    #[test]
    fn the_connector_is_found_where_people_write_it() {
        let of = |args: Value| changed(|pod| pod["spec"]["containers"][0]["args"] = args).connector;
        let nixl = Declared::Known(Connector::NixlPull);
        assert_eq!(of(json!([])), Declared::Nothing);
        for args in [
            json!([
                "--kv-transfer-config",
                r#"{"kv_connector":"NixlConnector","kv_role":"kv_producer"}"#
            ]),
            json!([
                r#"--kv-transfer-config={"kv_role": "kv_both", "kv_connector" : "NixlConnector"}"#
            ]),
            json!([
                r#"exec vllm serve m --kv-transfer-config '{"kv_connector":"NixlConnector"}' "$@""#
            ]),
            json!([
                r#"vllm serve m --kv-transfer-config \"{\\\"kv_connector\\\":\\\"NixlConnector\\\"}\""#
            ]),
        ] {
            assert_eq!(of(args.clone()), nixl, "{args}");
        }
        let other = of(json!([r#"{"kv_connector":"MooncakeConnector"}"#]));
        assert_eq!(other, Declared::Unknown("MooncakeConnector".into()));
        let annotated = |value: &str| {
            changed(|pod| pod["metadata"]["annotations"] = json!({CONNECTOR_ANNOTATION: value}))
                .connector
        };
        assert_eq!(annotated("None"), Declared::Known(Connector::None));
        assert_eq!(annotated("NixlPull"), nixl);
        assert_eq!(annotated("Nixl\r\nPull"), Declared::Unknown("Nixl\r\nPull".into()));
    }
}
