//! A `QoERoute` as the API server has it, and what is valid in it.

use std::fmt;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use qoe_api::crd::QoERouteStatus;
use qoe_api::{QoERoute, QoERouteSpec};
use serde::Deserialize;
use serde_json::Value;

/// A `QoERoute` with its spec not yet parsed, so that a spec that cannot be parsed does not stop the watch of all routes.
#[derive(Clone, Debug, Deserialize, Resource)]
#[resource(inherit = QoERoute)]
pub(crate) struct RawRoute {
    metadata: ObjectMeta,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    status: Value,
}

/// A route's namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RouteKey {
    pub(crate) namespace: Arc<str>,
    pub(crate) name: Arc<str>,
}

impl fmt::Display for RouteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// A route of this installation's class.
#[derive(Clone, Debug)]
pub(crate) struct Route {
    pub(crate) uid: String,
    pub(crate) generation: i64,
    pub(crate) resource_version: String,
    /// Seconds since the Unix epoch.
    pub(crate) created: i64,
    /// The last valid spec, if there was one.
    pub(crate) spec: Option<Arc<QoERouteSpec>>,
    /// All that is wrong with the current spec; `None` where it is valid.
    pub(crate) wrong: Option<String>,
    /// The status as last seen.
    pub(crate) observed: QoERouteStatus,
}

/// A route's key.
pub(crate) fn key_of(raw: &RawRoute) -> Option<RouteKey> {
    let ObjectMeta { name, namespace, .. } = &raw.metadata;
    Some(RouteKey {
        namespace: namespace.as_deref().unwrap_or_default().into(),
        name: name.as_deref()?.into(),
    })
}

/// A route's key and, if it is of this class, the route. `None` for an object without a name.
pub(crate) fn parse(raw: RawRoute, class: &str) -> Option<(RouteKey, Option<Route>)> {
    let key = key_of(&raw)?;
    let RawRoute { metadata, spec, status } = raw;
    let of_class = spec.get("routerClassName").and_then(Value::as_str);
    if of_class.unwrap_or(qoe_api::DEFAULT_CLASS) != class {
        return Some((key, None));
    }
    let created = metadata.creation_timestamp.map_or(0, |time| time.0.as_second());
    let (spec, wrong) = match spec_of(spec) {
        Ok(spec) => (Some(Arc::new(spec)), None),
        Err(wrong) => (None, Some(wrong)),
    };
    let route = Route {
        uid: metadata.uid.unwrap_or_default(),
        generation: metadata.generation.unwrap_or_default(),
        resource_version: metadata.resource_version.unwrap_or_default(),
        created,
        spec,
        wrong,
        observed: serde_json::from_value(status).unwrap_or_default(),
    };
    Some((key, Some(route)))
}

/// The spec, or all that is wrong with it. The API server rejects most of that already.
fn spec_of(spec: Value) -> Result<QoERouteSpec, String> {
    let spec: QoERouteSpec = serde_json::from_value(spec)
        .map_err(|error| format!("spec cannot be read: {error}: is the CRD of this release?"))?;
    let mut wrong: Vec<String> = spec
        .validate()
        .into_iter()
        .map(|violation| format!("spec.{}: {}", violation.path, violation.message))
        .collect();
    if spec.endpoints.selector.match_labels.is_empty() {
        wrong.push(
            "spec.endpoints.selector.matchLabels: it is empty: set it to labels of the pods that \
             serve"
                .to_owned(),
        );
    }
    if wrong.is_empty() { Ok(spec) } else { Err(wrong.join("; ")) }
}
