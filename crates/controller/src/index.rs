//! The index: all pods and routes as last seen, and the states of routes that follow from them.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use qoe_discovery::server::{RouteState, World};
use qoe_discovery::{Version, Versions};

use crate::fold::ChangeUrgency;
use crate::pod::{PodFacts, PodState};
use crate::route::{RawRoute, Route, RouteKey, parse};
use crate::translate::{RouteInput, Translation, selects, translate};

/// Whether a route is accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Acceptance {
    /// With all of its models.
    Accepted,
    /// Without these models, which belong to an older route.
    Partly(Vec<(String, RouteKey)>),
    /// It is not: all of its models belong to older routes.
    Conflict(Vec<(String, RouteKey)>),
    /// Its spec is invalid; the last valid one is served, if there was one.
    Invalid(String),
}

/// The result of translating a route.
#[derive(Clone, Debug)]
pub(crate) struct RouteOutcome {
    pub(crate) acceptance: Acceptance,
    /// Of the last valid spec.
    pub(crate) translation: Option<Translation>,
    /// Of its latest state; 0 before there is one.
    pub(crate) nonce: u64,
    /// When that state was published.
    pub(crate) published: Duration,
}

/// All routes with their outcomes, for statuses and pages.
#[derive(Clone, Debug, Default)]
pub(crate) struct View {
    pub(crate) routes: BTreeMap<RouteKey, (Arc<Route>, Arc<RouteOutcome>)>,
    pub(crate) pods: usize,
}

/// All pods and routes of one class. One task owns it; `publish` is its only output.
#[derive(Default)]
pub(crate) struct Index {
    class: String,
    pods: HashMap<Arc<str>, BTreeMap<Arc<str>, PodFacts>>,
    routes: BTreeMap<RouteKey, Arc<Route>>,
    outcomes: BTreeMap<RouteKey, Arc<RouteOutcome>>,
    world: World,
    dirty: BTreeSet<RouteKey>,
    /// Routes came, went or changed: the owners of models are to be found anew.
    models_moved: bool,
    lost: BTreeMap<RouteKey, Vec<(String, RouteKey)>>,
    versions: Versions,
    nonce: u64,
}

impl Index {
    /// An index for the routes of one class.
    pub(crate) fn new(class: &str) -> Self {
        Self { class: class.to_owned(), ..Self::default() }
    }

    /// Records that the cluster's history was read up to `version` in one scope: a namespace, or `""` for all.
    pub(crate) fn read_up_to(&mut self, scope: &Arc<str>, version: &Version) {
        self.versions.advance(scope, version);
    }

    /// Records a new or changed pod.
    pub(crate) fn pod(&mut self, namespace: &str, pod: PodFacts) -> ChangeUrgency {
        if pod.state == PodState::Oversized {
            tracing::warn!(namespace, pod = %pod.name, "the pod's labels are too large; it is not used");
        }
        let pods = match self.pods.get_mut(namespace) {
            Some(pods) => pods,
            None => self.pods.entry(namespace.into()).or_default(),
        };
        let new = pod.clone();
        let old = pods.insert(Arc::clone(&pod.name), pod);
        if old.as_ref() == Some(&new) {
            return ChangeUrgency::None;
        }
        self.touch(namespace, old.as_ref(), Some(&new))
    }

    /// Records that a pod is gone.
    pub(crate) fn pod_gone(&mut self, namespace: &str, name: &str) -> ChangeUrgency {
        let Some(pods) = self.pods.get_mut(namespace) else { return ChangeUrgency::None };
        let Some(old) = pods.remove(name) else { return ChangeUrgency::None };
        if pods.is_empty() {
            self.pods.remove(namespace);
        }
        self.touch(namespace, Some(&old), None)
    }

    /// Removes all pods of a scope that are not in `there`.
    pub(crate) fn only_pods(
        &mut self,
        scope: &str,
        there: &HashSet<(String, Arc<str>)>,
    ) -> ChangeUrgency {
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
        gone.max().unwrap_or(ChangeUrgency::None)
    }

    /// Records a new or changed route.
    pub(crate) fn route(&mut self, raw: RawRoute) -> ChangeUrgency {
        let Some((key, route)) = parse(raw, &self.class) else { return ChangeUrgency::None };
        let Some(mut route) = route else { return self.route_gone(&key) };
        let old = self.routes.get(&key).filter(|old| old.uid == route.uid);
        if route.wrong.is_some() {
            route.spec = old.and_then(|old| old.spec.clone());
        }
        let same = old.is_some_and(|old| old.spec == route.spec && old.wrong == route.wrong);
        self.routes.insert(key.clone(), Arc::new(route));
        if same {
            // Only its status changed: that concerns the writer alone.
            return ChangeUrgency::None;
        }
        self.models_moved = true;
        self.dirty.insert(key);
        ChangeUrgency::Soon
    }

    /// Records that a route is gone, or of another class now.
    pub(crate) fn route_gone(&mut self, key: &RouteKey) -> ChangeUrgency {
        if self.routes.remove(key).is_none() {
            return ChangeUrgency::None;
        }
        self.models_moved = true;
        self.dirty.insert(key.clone());
        ChangeUrgency::Soon
    }

    /// Removes all routes of a scope that are not in `there`.
    pub(crate) fn only_routes(&mut self, scope: &str, there: &HashSet<RouteKey>) -> ChangeUrgency {
        let in_scope = |key: &&RouteKey| scope.is_empty() || *key.namespace == *scope;
        let gone: Vec<_> = self
            .routes
            .keys()
            .filter(in_scope)
            .filter(|key| !there.contains(key))
            .cloned()
            .collect();
        gone.iter().map(|key| self.route_gone(key)).max().unwrap_or(ChangeUrgency::None)
    }

    /// Marks the routes whose state may change with a pod. Urgent where one of them loses an endpoint.
    fn touch(
        &mut self,
        namespace: &str,
        old: Option<&PodFacts>,
        new: Option<&PodFacts>,
    ) -> ChangeUrgency {
        let mut urgency = ChangeUrgency::None;
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
            urgency =
                urgency.max(if lost.is_some() { ChangeUrgency::Now } else { ChangeUrgency::Soon });
        }
        urgency
    }

    /// Translates the routes that may have changed. The returned world contains everything recorded so far.
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

    /// The routes as they are now, with their outcomes.
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

    /// Gives every model to the oldest route that names it. Routes that lose or gain one are translated anew.
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
            // Routers may hold a valid state from before this process started: they keep it.
            let acceptance = Acceptance::Invalid(route.wrong.clone().unwrap_or_default());
            let outcome = RouteOutcome { acceptance, translation: None, nonce: 0, published: now };
            self.outcomes.insert(key.clone(), Arc::new(outcome));
            let before = self.world.routes.remove(&name);
            // But not the state of a deleted route of the same name.
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
        let outcome = RouteOutcome { acceptance, translation, nonce, published };
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

#[cfg(test)]
pub(crate) mod tests;
