//! Everything that was seen of pods and routes, and the states of routes that follow from it.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::Resource;
use qoe_api::crd::QoERouteStatus;
use qoe_api::{QoERoute, QoERouteSpec};
use qoe_discovery::Version;
use qoe_discovery::server::{RouteState, World};
use serde::Deserialize;
use serde_json::Value;

use crate::fold::Urgency;
use crate::pod::{PodFacts, PodState};
use crate::translate::{RouteInput, Translation, selects, translate};

/// A `QoERoute` as the API server has it; its spec is read here, so that one that cannot be read stops nobody else's.
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
    /// What it asks for: the last spec that could be used, if there was one.
    pub(crate) spec: Option<Arc<QoERouteSpec>>,
    /// All that is wrong with its present spec; none where that is the one in use.
    pub(crate) wrong: Option<String>,
    /// Its status, as it was last seen.
    pub(crate) observed: QoERouteStatus,
}

/// Whether a route is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// It is.
    Accepted,
    /// It is, but for these models, which an older route has.
    Partly(Vec<(String, RouteKey)>),
    /// All of its models are an older route's.
    Conflict(Vec<(String, RouteKey)>),
    /// Its spec is not to be used; the last good one is, if there was one.
    Invalid(String),
}

/// What became of a route.
#[derive(Clone, Debug)]
pub(crate) struct Outcome {
    pub(crate) acceptance: Acceptance,
    /// Of the last spec that could be used.
    pub(crate) translation: Option<Translation>,
    /// Of its state; 0 before there is one.
    pub(crate) nonce: u64,
    /// When that state was published.
    pub(crate) published: Duration,
}

/// All routes with what became of them, for status and pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) routes: BTreeMap<RouteKey, (Arc<Route>, Arc<Outcome>)>,
    pub(crate) pods: usize,
}

/// The index. It is owned by one task; `publish` is its only way out.
#[derive(Default)]
pub(crate) struct Index {
    class: String,
    pods: HashMap<Arc<str>, BTreeMap<Arc<str>, PodFacts>>,
    routes: BTreeMap<RouteKey, Arc<Route>>,
    outcomes: BTreeMap<RouteKey, Arc<Outcome>>,
    world: World,
    dirty: BTreeSet<RouteKey>,
    /// Routes came, went or changed: who owns which model is to be found out anew.
    models_moved: bool,
    lost: BTreeMap<RouteKey, Vec<(String, RouteKey)>>,
    versions: BTreeMap<Arc<str>, Version>,
    nonce: u64,
}

impl Index {
    /// An index for the routes of one class.
    pub(crate) fn new(class: &str) -> Self {
        Self { class: class.to_owned(), ..Self::default() }
    }

    /// The cluster's history was read up to here, in one scope (a namespace, or `""` for all).
    pub(crate) fn read_up_to(&mut self, scope: &Arc<str>, version: Version) {
        let known = self.versions.entry(Arc::clone(scope)).or_default();
        *known = known.max(&version);
    }

    /// A pod is there, new or changed.
    pub(crate) fn pod(&mut self, namespace: &str, pod: PodFacts) -> Urgency {
        if pod.state == PodState::Oversized {
            tracing::warn!(namespace, pod = %pod.name, "the pod's labels are too large: it is left out");
        }
        let pods = match self.pods.get_mut(namespace) {
            Some(pods) => pods,
            None => self.pods.entry(namespace.into()).or_default(),
        };
        let new = pod.clone();
        let old = pods.insert(Arc::clone(&pod.name), pod);
        if old.as_ref() == Some(&new) {
            return Urgency::None;
        }
        self.touch(namespace, old.as_ref(), Some(&new))
    }

    /// A pod is gone.
    pub(crate) fn pod_gone(&mut self, namespace: &str, name: &str) -> Urgency {
        let Some(pods) = self.pods.get_mut(namespace) else { return Urgency::None };
        let Some(old) = pods.remove(name) else { return Urgency::None };
        if pods.is_empty() {
            self.pods.remove(namespace);
        }
        self.touch(namespace, Some(&old), None)
    }

    /// These are all pods of a scope: others are gone.
    pub(crate) fn only_pods(
        &mut self,
        scope: &str,
        there: &HashSet<(String, Arc<str>)>,
    ) -> Urgency {
        let mut gone = Vec::new();
        for (namespace, pods) in
            self.pods.iter().filter(|(ns, _)| scope.is_empty() || ***ns == *scope)
        {
            for name in pods.keys() {
                if !there.contains(&(namespace.to_string(), Arc::clone(name))) {
                    gone.push((Arc::clone(namespace), Arc::clone(name)));
                }
            }
        }
        let gone = gone.iter().map(|(namespace, name)| self.pod_gone(namespace, name));
        gone.max().unwrap_or(Urgency::None)
    }

    /// A route is there, new or changed.
    pub(crate) fn route(&mut self, raw: RawRoute) -> Urgency {
        let Some((key, route)) = read(raw, &self.class) else { return Urgency::None };
        let Some(mut route) = route else { return self.route_gone(&key) };
        let old = self.routes.get(&key).filter(|old| old.uid == route.uid);
        if route.wrong.is_some() {
            route.spec = old.and_then(|old| old.spec.clone());
        }
        let same = old.is_some_and(|old| old.spec == route.spec && old.wrong == route.wrong);
        self.routes.insert(key.clone(), Arc::new(route));
        if same {
            // Its status: for the one who writes it.
            return Urgency::None;
        }
        self.models_moved = true;
        self.dirty.insert(key);
        Urgency::Soon
    }

    /// A route is gone, or of another class now.
    pub(crate) fn route_gone(&mut self, key: &RouteKey) -> Urgency {
        if self.routes.remove(key).is_none() {
            return Urgency::None;
        }
        self.models_moved = true;
        self.dirty.insert(key.clone());
        Urgency::Soon
    }

    /// These are all routes of a scope: others are gone.
    pub(crate) fn only_routes(&mut self, scope: &str, there: &HashSet<RouteKey>) -> Urgency {
        let in_scope = |key: &&RouteKey| scope.is_empty() || *key.namespace == *scope;
        let gone: Vec<_> = self
            .routes
            .keys()
            .filter(in_scope)
            .filter(|key| !there.contains(key))
            .cloned()
            .collect();
        gone.iter().map(|key| self.route_gone(key)).max().unwrap_or(Urgency::None)
    }

    /// Marks the routes whose state may change with a pod. It is urgent where one of them loses it.
    fn touch(
        &mut self,
        namespace: &str,
        old: Option<&PodFacts>,
        new: Option<&PodFacts>,
    ) -> Urgency {
        let mut urgency = Urgency::None;
        for (key, route) in in_namespace(&self.routes, namespace) {
            let Some(spec) = &route.spec else { continue };
            let selected = |pod: &&PodFacts| selects(spec, pod);
            let (old, new) = (old.filter(selected), new.filter(selected));
            if old.is_none() && new.is_none() {
                continue;
            }
            self.dirty.insert(key.clone());
            let served_at = |pod: &PodFacts| (pod.state == PodState::Ready).then_some(pod.ip);
            let lost = old.and_then(served_at).filter(|at| new.and_then(served_at) != Some(*at));
            urgency = urgency.max(if lost.is_some() { Urgency::Now } else { Urgency::Soon });
        }
        urgency
    }

    /// Translates what has changed. Everything that was seen so far is in the world that is returned.
    pub(crate) fn publish(&mut self, now: Duration) -> (Arc<World>, View) {
        if std::mem::take(&mut self.models_moved) {
            self.settle_models();
        }
        for key in std::mem::take(&mut self.dirty) {
            self.translate(&key, now);
        }
        self.world.versions.clone_from(&self.versions);
        (Arc::new(self.world.clone()), self.view())
    }

    /// The routes as they are now, with what became of them.
    pub(crate) fn view(&self) -> View {
        let with_outcome = |(key, route): (&RouteKey, &Arc<Route>)| {
            let outcome = self.outcomes.get(key)?;
            Some((key.clone(), (Arc::clone(route), Arc::clone(outcome))))
        };
        View {
            routes: self.routes.iter().filter_map(with_outcome).collect(),
            pods: self.pods.values().map(BTreeMap::len).sum(),
        }
    }

    /// Gives every model to the oldest route that names it; whoever loses or gains one is translated anew.
    fn settle_models(&mut self) {
        let mut by_age: Vec<_> = self.routes.iter().collect();
        by_age.sort_by_key(|(key, route)| (route.created, *key));
        let mut owners: HashMap<&str, &RouteKey> = HashMap::new();
        let mut lost: BTreeMap<RouteKey, Vec<(String, RouteKey)>> = BTreeMap::new();
        for (key, route) in by_age {
            let Some(spec) = &route.spec else { continue };
            for model in &spec.models {
                let owner = *owners.entry(model).or_insert(key);
                if owner != key {
                    lost.entry(key.clone()).or_default().push((model.clone(), owner.clone()));
                }
            }
        }
        let changed = |key: &&RouteKey| lost.get(key) != self.lost.get(key);
        let changed: Vec<_> =
            lost.keys().chain(self.lost.keys()).filter(changed).cloned().collect();
        self.dirty.extend(changed);
        self.lost = lost;
    }

    fn translate(&mut self, key: &RouteKey, now: Duration) {
        let name: Arc<str> = key.to_string().into();
        let Some(route) = self.routes.get(key) else {
            self.outcomes.remove(key);
            self.world.routes.remove(&name);
            return;
        };
        let lost = self.lost.get(key).cloned().unwrap_or_default();
        let before = self.outcomes.get(key);
        let Some(spec) = &route.spec else {
            // Routers may have a good state from before this process began: it stays in use.
            let acceptance = Acceptance::Invalid(route.wrong.clone().unwrap_or_default());
            let outcome = Outcome { acceptance, translation: None, nonce: 0, published: now };
            self.outcomes.insert(key.clone(), Arc::new(outcome));
            let before = self.world.routes.remove(&name);
            // But that of a namesake, which is gone, does not.
            if before.is_none_or(|state| state.body.is_none()) {
                self.world.routes.insert(name, RouteState { nonce: 0, body: None });
            }
            return;
        };
        let lost_names: Vec<String> = lost.iter().map(|(model, _)| model.clone()).collect();
        let pods = self.pods.get(&key.namespace);
        let input = RouteInput {
            namespace: &key.namespace,
            created: route.created,
            spec,
            lost: &lost_names,
        };
        let translation = translate(input, pods.into_iter().flat_map(BTreeMap::values));
        let conflict = !lost.is_empty() && lost.len() == spec.models.len();
        let acceptance = match &route.wrong {
            Some(why) => Acceptance::Invalid(why.clone()),
            None if conflict => Acceptance::Conflict(lost),
            None if lost.is_empty() => Acceptance::Accepted,
            None => Acceptance::Partly(lost),
        };
        let (nonce, published) = if conflict {
            self.world.routes.remove(&name);
            (0, now)
        } else {
            let body = translation.config.encode();
            match self.world.routes.get(&name) {
                Some(RouteState { nonce, body: Some(old) }) if *old == body => {
                    (*nonce, before.map_or(now, |before| before.published))
                }
                _ => {
                    self.nonce += 1;
                    let state = RouteState { nonce: self.nonce, body: Some(body) };
                    self.world.routes.insert(name, state);
                    (self.nonce, now)
                }
            }
        };
        let translation = Some(translation);
        let outcome = Outcome { acceptance, translation, nonce, published };
        self.outcomes.insert(key.clone(), Arc::new(outcome));
    }
}

/// The routes of a namespace.
fn in_namespace<'a>(
    routes: &'a BTreeMap<RouteKey, Arc<Route>>,
    namespace: &str,
) -> impl Iterator<Item = (&'a RouteKey, &'a Arc<Route>)> {
    let first = RouteKey { namespace: namespace.into(), name: "".into() };
    let same = first.namespace.clone();
    routes.range(first..).take_while(move |(key, _)| key.namespace == same)
}

/// A route's key.
pub(crate) fn key_of(raw: &RawRoute) -> Option<RouteKey> {
    let ObjectMeta { name, namespace, .. } = &raw.metadata;
    Some(RouteKey {
        namespace: namespace.as_deref().unwrap_or_default().into(),
        name: name.as_deref()?.into(),
    })
}

/// The route, if it is of this class. `None`: there is no such object.
fn read(raw: RawRoute, class: &str) -> Option<(RouteKey, Option<Route>)> {
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

/// The spec, or all that is wrong with it. The API server has refused most of that already.
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
            "spec.endpoints.selector.matchLabels: no pods are selected: set it to labels of the \
             pods that serve"
                .to_owned(),
        );
    }
    if wrong.is_empty() { Ok(spec) } else { Err(wrong.join("; ")) }
}

#[cfg(test)]
pub(crate) mod tests;
