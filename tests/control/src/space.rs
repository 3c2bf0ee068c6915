//! A test's own namespace, and what there is to do in it.

use std::sync::Arc;

use serde_json::{Value, json};

use crate::api_server::ApiServer;
use crate::control::Control;
use crate::kubernetes::{Answered, Kubernetes};
use crate::logs;
use crate::pods::{Pod, condition};

/// A namespace. It stays when the test is over: so does what is to be looked at after a failure.
pub struct Space {
    /// The server it is on.
    pub api: Arc<ApiServer>,
    /// Its name.
    pub namespace: String,
    /// A client that may do everything.
    pub admin: Kubernetes,
}

impl Space {
    /// A namespace on the shared API server.
    pub async fn new(name: &str) -> Self {
        Self::on(ApiServer::shared().await, name).await
    }

    /// A namespace on an API server.
    ///
    /// # Panics
    /// It cannot be made.
    pub async fn on(api: Arc<ApiServer>, name: &str) -> Self {
        logs::keep();
        let (namespace, admin) = (api.name(name), api.admin());
        let object = json!({"metadata": {"name": namespace}});
        admin.create("/api/v1/namespaces", &object).await.expect("a namespace");
        Self { api, namespace, admin }
    }

    /// A controller for this namespace alone, to be started.
    #[must_use]
    pub fn controller(&self) -> Control<'_> {
        Control::of(self)
    }

    /// The path of a collection in this namespace.
    #[must_use]
    pub fn path(&self, group: &str, plural: &str) -> String {
        let root = if group == "v1" { "/api/v1".to_owned() } else { format!("/apis/{group}") };
        format!("{root}/namespaces/{}/{plural}", self.namespace)
    }

    /// The path of all routes.
    #[must_use]
    pub fn routes(&self) -> String {
        self.path("qoe-router.io/v1alpha1", "qoeroutes")
    }

    fn route_path(&self, name: &str) -> String {
        format!("{}/{name}", self.routes())
    }

    fn pod_path(&self, name: &str) -> String {
        format!("{}/{name}", self.path("v1", "pods"))
    }

    /// Creates a route; `Err` says why it was refused.
    ///
    /// # Errors
    /// It was refused.
    pub async fn try_route(&self, name: &str, spec: &Value) -> Answered {
        self.admin.create(&self.routes(), &route(name, spec)).await
    }

    /// Creates a route.
    ///
    /// # Panics
    /// It is refused.
    pub async fn route(&self, name: &str, spec: &Value) -> Value {
        self.try_route(name, spec).await.expect("a route that is accepted")
    }

    /// Changes a route's spec.
    ///
    /// # Panics
    /// It is refused.
    pub async fn change_route(&self, name: &str, spec: &Value) -> Value {
        let patch = json!({"spec": spec});
        self.admin.merge(&self.route_path(name), &patch).await.expect("a change that is accepted")
    }

    /// Deletes a route.
    ///
    /// # Panics
    /// It is not there.
    pub async fn delete_route(&self, name: &str) {
        self.admin.delete(&self.route_path(name), None).await.expect("a route");
    }

    /// A route as it is.
    ///
    /// # Panics
    /// It is not there.
    pub async fn get_route(&self, name: &str) -> Value {
        self.admin.get(&self.route_path(name)).await.expect("a route")
    }

    /// What a route's conditions say: `Accepted=True Accepted`, and so on in the order of the API.
    pub async fn conditions(&self, name: &str) -> Vec<String> {
        let route = self.get_route(name).await;
        let said = |condition: &Value| {
            let text = |field: &str| condition[field].as_str().unwrap_or("").to_owned();
            format!("{}={} {}", text("type"), text("status"), text("reason"))
        };
        route["status"]["conditions"].as_array().into_iter().flatten().map(said).collect()
    }

    /// The message of one condition; empty where it is not there.
    pub async fn message(&self, name: &str, kind: &str) -> String {
        let route = self.get_route(name).await;
        let conditions = route["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let found = conditions.iter().find(|condition| condition["type"] == kind);
        found.and_then(|condition| condition["message"].as_str()).unwrap_or("").to_owned()
    }

    /// The cells that `kubectl get` shows of a route, but for its age.
    ///
    /// # Panics
    /// It is not there.
    pub async fn columns(&self, name: &str) -> Vec<Value> {
        let table = self.admin.table(&self.route_path(name)).await.expect("a table");
        let mut cells = table["rows"][0]["cells"].as_array().expect("cells").clone();
        cells.pop();
        cells
    }

    /// Makes a pod, and reports its status.
    ///
    /// # Panics
    /// It is refused.
    pub async fn pod(&self, pod: &Pod) {
        let made = self.admin.create(&self.path("v1", "pods"), &pod.manifest).await;
        let made = made.expect("a pod that is accepted");
        let name = made["metadata"]["name"].as_str().expect("a name");
        self.report(name, &pod.status).await;
    }

    /// Reports a pod's status, as a kubelet does.
    ///
    /// # Panics
    /// It is refused.
    pub async fn report(&self, name: &str, status: &Value) {
        let path = format!("{}/status", self.pod_path(name));
        self.admin.merge(&path, &json!({"status": status})).await.expect("a status");
    }

    /// Reports whether a pod is ready.
    pub async fn report_ready(&self, name: &str, ready: bool) {
        self.report(name, &json!({"conditions": [condition(ready)]})).await;
    }

    /// Changes labels; null removes one.
    ///
    /// # Panics
    /// They are refused.
    pub async fn label(&self, name: &str, labels: &Value) {
        let patch = json!({"metadata": {"labels": labels}});
        self.admin.merge(&self.pod_path(name), &patch).await.expect("labels");
    }

    /// Asks a pod to end: it stays until its kubelet says that it has.
    ///
    /// # Panics
    /// It is not there.
    pub async fn terminate(&self, name: &str) {
        self.admin.delete(&self.pod_path(name), Some(30)).await.expect("a pod");
    }

    /// Removes a pod at once.
    ///
    /// # Panics
    /// It is not there.
    pub async fn remove(&self, name: &str) {
        self.admin.delete(&self.pod_path(name), Some(0)).await.expect("a pod");
    }

    /// The events about a route, oldest first: type, reason and how often it was said.
    ///
    /// # Panics
    /// They cannot be listed.
    pub async fn events(&self, route: &str) -> Vec<(String, String, u64)> {
        let events = self.admin.get(&self.path("events.k8s.io/v1", "events")).await;
        let events = events.expect("a list")["items"].as_array().cloned().unwrap_or_default();
        let about = |event: &&Value| event["regarding"]["name"] == route;
        let mut events: Vec<_> = events.iter().filter(about).collect();
        events.sort_by_key(|event| event["eventTime"].as_str().map(str::to_owned));
        let text = |value: &Value| value.as_str().unwrap_or("").to_owned();
        let said = |event: &Value| {
            let count = event["series"]["count"].as_u64().unwrap_or(1);
            (text(&event["type"]), text(&event["reason"]), count)
        };
        events.into_iter().map(said).collect()
    }

    /// The lease of controllers of a class: who holds it, and everything else it says.
    pub async fn lease(&self, class: &str) -> Value {
        let path = self.path("coordination.k8s.io/v1", "leases");
        let lease = self.admin.get(&format!("{path}/qoe-controller-{class}")).await;
        lease.map_or(Value::Null, |mut lease| lease["spec"].take())
    }
}

/// A `QoERoute` object.
#[must_use]
pub fn route(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "qoe-router.io/v1alpha1",
        "kind": "QoERoute",
        "metadata": {"name": name},
        "spec": spec,
    })
}
