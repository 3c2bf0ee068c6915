//! Requests to the API server, as plain JSON.

use http::{Method, Request};
use kube::Client;
use serde_json::Value;

/// What the API server says.
pub type Answered = Result<Value, kube::Error>;

/// A client with somebody's rights.
#[derive(Clone)]
pub struct Kubernetes(pub Client);

impl Kubernetes {
    /// GETs.
    ///
    /// # Errors
    /// It was refused.
    pub async fn get(&self, path: &str) -> Answered {
        self.send(Method::GET, path, "application/json", String::new()).await
    }

    /// GETs the table that `kubectl get` shows.
    ///
    /// # Errors
    /// It was refused.
    pub async fn table(&self, path: &str) -> Answered {
        let request =
            Request::get(path).header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
        self.0.request(request.body(Vec::new()).expect("a path")).await
    }

    /// Creates an object in a collection.
    ///
    /// # Errors
    /// It was refused.
    pub async fn create(&self, path: &str, object: &Value) -> Answered {
        self.send(Method::POST, path, "application/json", object.to_string()).await
    }

    /// Applies a manifest, by the server.
    ///
    /// # Errors
    /// It was refused.
    pub async fn apply(&self, path: &str, yaml: &str) -> Answered {
        let path = format!("{path}?fieldManager=tests&force=true");
        self.send(Method::PATCH, &path, "application/apply-patch+yaml", yaml.to_owned()).await
    }

    /// Changes what `patch` has; null removes.
    ///
    /// # Errors
    /// It was refused.
    pub async fn merge(&self, path: &str, patch: &Value) -> Answered {
        self.send(Method::PATCH, path, "application/merge-patch+json", patch.to_string()).await
    }

    /// Deletes; without a grace period of its own, in that of the object.
    ///
    /// # Errors
    /// It was refused.
    pub async fn delete(&self, path: &str, grace_seconds: Option<u32>) -> Answered {
        let grace = grace_seconds.map(|seconds| format!("?gracePeriodSeconds={seconds}"));
        let path = format!("{path}{}", grace.unwrap_or_default());
        self.send(Method::DELETE, &path, "application/json", String::new()).await
    }

    async fn send(&self, method: Method, path: &str, kind: &str, body: String) -> Answered {
        let request = Request::builder().method(method).uri(path).header("content-type", kind);
        self.0.request(request.body(body.into_bytes()).expect("a path")).await
    }
}

/// What was wrong with a refused object: each field with what was said of it.
///
/// # Panics
/// It was not refused for what it is.
#[must_use]
pub fn causes(answered: Answered) -> Vec<(String, String)> {
    match answered {
        Err(kube::Error::Api(status)) if status.code == 422 => {
            let causes = status.details.map(|details| details.causes).unwrap_or_default();
            causes.into_iter().map(|cause| (cause.field, cause.message)).collect()
        }
        other => panic!("it is not refused as invalid: {other:?}"),
    }
}
