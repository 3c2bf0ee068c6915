//! Pods without a kubelet: a manifest as people write it, and the status that a kubelet would report.

use std::net::{IpAddr, SocketAddr};

use serde_json::{Value, json};

/// A pod to be made. Both parts may be changed before.
#[derive(Clone, Debug)]
pub struct Pod {
    /// What is created.
    pub manifest: Value,
    /// What is then reported.
    pub status: Value,
}

/// A pod that serves at `address` by its port `http`.
#[must_use]
pub fn pod(name: &str, labels: &Value, address: SocketAddr) -> Pod {
    let port = json!({"name": "http", "containerPort": address.port()});
    let manifest = json!({
        "metadata": {"name": name, "labels": labels},
        "spec": {
            // Nobody schedules.
            "nodeName": "node",
            "containers": [{"name": "vllm", "image": "vllm", "ports": [port]}],
        },
    });
    Pod { manifest, status: running(address.ip(), true) }
}

/// The status of a pod that runs.
#[must_use]
pub fn running(ip: IpAddr, ready: bool) -> Value {
    json!({"phase": "Running", "podIP": ip, "podIPs": [{"ip": ip}], "conditions": [condition(ready)]})
}

/// The condition by which a pod serves.
#[must_use]
pub fn condition(ready: bool) -> Value {
    json!({"type": "Ready", "status": if ready { "True" } else { "False" }})
}

/// Labels of a pod of the application `vllm` for a phase: `prefill`, `decode`, `both`.
#[must_use]
pub fn labels(role: &str) -> Value {
    json!({"app": "vllm", "llm-d.ai/role": role})
}

/// The spec that selects the application `vllm` by its port `http`.
#[must_use]
pub fn selecting() -> Value {
    json!({"endpoints": {"selector": {"matchLabels": {"app": "vllm"}}, "port": "http"}})
}

/// The same, and every request in its prefill phase is handed over.
#[must_use]
pub fn always() -> Value {
    let mut spec = selecting();
    spec["handoff"] = json!({"mode": "Always"});
    spec["policy"] = json!({"type": "RoundRobin"});
    spec
}
