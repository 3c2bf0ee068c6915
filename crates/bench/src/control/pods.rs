//! Pods without kubelets: as large as real ones, set Ready by the bench, with loopback addresses.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, ensure};
use futures::{StreamExt, TryStreamExt, stream};
use k8s_openapi::api::core::v1::{Namespace, Pod};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};
use tokio::process::Command;

/// The namespace of all objects.
pub(super) const NAMESPACE: &str = "llm";
/// The qualified name of the route.
pub(super) const ROUTE: &str = "llm/llama";

/// The number of concurrent requests to the API server.
const AT_ONCE: usize = 16;

pub(super) struct Pods {
    client: Client,
    api: Api<Pod>,
}

impl Pods {
    pub(super) fn new(client: Client) -> Self {
        Self { api: Api::namespaced(client.clone(), NAMESPACE), client }
    }

    /// Creates the namespace, the CRD that the controller prints, and a route over all pods.
    pub(super) async fn install_route(&self, controller: &Path) -> anyhow::Result<()> {
        let namespaces: Api<Namespace> = Api::all(self.client.clone());
        let namespace = serde_json::from_value(json!({"metadata": {"name": NAMESPACE}}))?;
        namespaces.create(&PostParams::default(), &namespace).await?;
        let printed = Command::new(controller).arg("crd").stderr(Stdio::inherit()).output().await?;
        ensure!(printed.status.success(), "{} crd failed", controller.display());
        self.apply_text(
            "apiextensions.k8s.io/v1/customresourcedefinitions/qoeroutes.qoe-router.io",
            printed.stdout,
        )
        .await?;
        let resource = ApiResource {
            group: "qoe-router.io".into(),
            version: "v1alpha1".into(),
            api_version: "qoe-router.io/v1alpha1".into(),
            kind: "QoERoute".into(),
            plural: "qoeroutes".into(),
        };
        let routes: Api<DynamicObject> =
            Api::namespaced_with(self.client.clone(), NAMESPACE, &resource);
        let route = json!({
            "apiVersion": "qoe-router.io/v1alpha1",
            "kind": "QoERoute",
            "metadata": {"name": "llama"},
            "spec": {"endpoints": {"selector": {"matchLabels": {"app": "vllm-llama"}}, "port": "http"}},
        });
        // The API server serves a new definition only after a moment.
        for _ in 0..200 {
            let applied =
                routes.patch("llama", &PatchParams::apply("bench"), &Patch::Apply(&route)).await;
            match applied {
                Ok(_) => return Ok(()),
                Err(kube::Error::Api(status)) if status.code == 404 => {
                    tokio::time::sleep(std::time::Duration::from_millis(100)).await;
                }
                Err(error) => return Err(error.into()),
            }
        }
        anyhow::bail!("the definition was not served in time")
    }

    /// Applies YAML text with server-side apply.
    async fn apply_text(&self, path: &str, yaml: Vec<u8>) -> anyhow::Result<()> {
        let request = http::Request::patch(format!("/apis/{path}?fieldManager=bench"))
            .header("content-type", "application/apply-patch+yaml")
            .body(yaml)?;
        self.client
            .request::<Value>(request)
            .await
            .context("the CustomResourceDefinition")
            .map(drop)
    }

    /// Creates `count` ready pods.
    pub(super) async fn create(
        &self,
        count: usize,
        progress: impl Fn(usize),
    ) -> anyhow::Result<()> {
        let params = PostParams::default();
        let mut created = stream::iter(0..count)
            .map(|i| {
                let params = &params;
                async move {
                    self.api.create(params, &pod(i)?).await?;
                    self.patch(i, status(i, true)).await
                }
            })
            .buffer_unordered(AT_ONCE);
        let mut done = 0;
        while created.try_next().await?.is_some() {
            done += 1;
            if done % 100 == 0 || done == count {
                progress(done);
            }
        }
        Ok(())
    }

    /// Sets or clears the Ready condition of a pod.
    pub(super) async fn set_ready(&self, pod: usize, ready: bool) -> anyhow::Result<()> {
        self.patch(pod, json!({"status": {"conditions": [condition(ready)]}})).await
    }

    /// Clears the Ready condition of the first `count` pods, as fast as the API server accepts it.
    pub(super) async fn leave_at_once(&self, count: usize) -> anyhow::Result<()> {
        stream::iter(0..count)
            .map(|i| self.set_ready(i, false))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await
    }

    async fn patch(&self, pod: usize, patch: Value) -> anyhow::Result<()> {
        let (name, patch) = (name(pod), Patch::Strategic(&patch));
        self.api.patch_status(&name, &PatchParams::default(), &patch).await?;
        Ok(())
    }
}

fn name(i: usize) -> String {
    format!(
        "vllm-llama-{}-6c9f7d8b5d-{i:05}",
        if i.is_multiple_of(3) { "prefill" } else { "decode" }
    )
}

/// A pod like those of a vLLM Deployment, with injected fields.
fn pod(i: usize) -> anyhow::Result<Pod> {
    let role = if i.is_multiple_of(3) { "prefill" } else { "decode" };
    let env: Vec<Value> = (0..12)
        .map(|n| json!({"name": format!("VLLM_SETTING_{n}"), "value": "some/path/of/a/cache"}))
        .collect();
    let probe = json!({"httpGet": {"path": "/health", "port": "http"}, "periodSeconds": 5, "failureThreshold": 3});
    Ok(serde_json::from_value(json!({
        "metadata": {
            "name": name(i),
            "labels": {
                "app": "vllm-llama", "llm-d.ai/role": role, "pod-template-hash": "6c9f7d8b5d",
                "app.kubernetes.io/name": "vllm", "app.kubernetes.io/instance": "llama",
                "app.kubernetes.io/part-of": "inference", "team": "platform", "tier": "gpu",
            },
            "annotations": {
                "prometheus.io/scrape": "true", "prometheus.io/port": "8000",
                "kubectl.kubernetes.io/restartedAt": "2026-11-25T08:00:00Z",
                "k8s.v1.cni.cncf.io/network-status": "[{\"name\":\"net\",\"interface\":\"eth0\",\"default\":true}]",
            },
        },
        "spec": {
            "nodeName": format!("gpu-node-{}", i / 8),
            "containers": [{
                "name": "vllm",
                "image": "vllm/vllm-openai:v0.32.0",
                "args": [
                    "--model=meta-llama/Llama-3.1-8B-Instruct", "--port=8000", "--enable-prefix-caching",
                    "--kv-transfer-config={\"kv_connector\":\"NixlConnector\",\"kv_role\":\"kv_both\"}",
                ],
                "env": env,
                "ports": [{"name": "http", "containerPort": 8000}, {"name": "kv", "containerPort": 5600}],
                "resources": {"requests": {"cpu": "8", "memory": "64Gi"}, "limits": {"memory": "64Gi"}},
                "readinessProbe": probe, "livenessProbe": probe, "startupProbe": probe,
                "volumeMounts": [{"name": "cache", "mountPath": "/cache"}, {"name": "shm", "mountPath": "/dev/shm"}],
            }],
            "volumes": [{"name": "cache", "emptyDir": {}}, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
            "terminationGracePeriodSeconds": 0,
        },
    }))?)
}

fn status(i: usize, ready: bool) -> Value {
    // Each pod gets its own address from 127.1.0.1 on, where nothing listens.
    let ip = format!("127.{}.{}.{}", 1 + i / 60_000, i / 250 % 250, 1 + i % 250);
    json!({"status": {
        "phase": "Running",
        "podIP": ip,
        "podIPs": [{"ip": ip}],
        "conditions": [condition(ready)],
    }})
}

fn condition(ready: bool) -> Value {
    json!({"type": "Ready", "status": if ready { "True" } else { "False" }})
}
