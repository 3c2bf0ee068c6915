//! The configuration and endpoints that requests are served by: immutable, swapped whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use qoe_core::endpoint::state::EndpointState;

use crate::failure::Failure;
use crate::observe::metrics::Metrics;
use crate::routes::no_route::{known_models, shortened};
pub(crate) use crate::routes::route::Route;
use crate::routes::source::RouteSource;

/// All routes and endpoints at one moment.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// Counts configurations, from 1; 0 is the empty one before the first.
    pub(crate) version: u64,
    /// The routes; of two that could serve a request, the first does.
    pub(crate) routes: Vec<Arc<Route>>,
    /// The endpoints of all routes, each once.
    pub(crate) endpoints: Vec<Arc<EndpointState>>,
    /// Names of endpoints whose models the configuration tells.
    pub(crate) told_models: HashSet<Arc<str>>,
    pub(super) by_model: HashMap<String, usize>,
}

impl Snapshot {
    /// The snapshot that `sources` mean. State of endpoints and routes of `previous` that are still there is kept.
    pub(crate) fn of(sources: &[Arc<RouteSource>], previous: &Self, metrics: &Metrics) -> Self {
        super::lower::snapshot(sources, previous, metrics)
    }

    /// Whether it was made of these.
    pub(crate) fn is_of(&self, sources: &[Arc<RouteSource>]) -> bool {
        let same = |(route, source): (&Arc<Route>, &Arc<RouteSource>)| {
            Arc::ptr_eq(&route.source, source) || route.source == *source
        };
        self.version > 0
            && self.routes.len() == sources.len()
            && self.routes.iter().zip(sources).all(same)
    }

    /// The route for a request: by its model; without one, the only route there is.
    pub(crate) fn route(&self, model: Option<&str>) -> Result<&Arc<Route>, Failure> {
        if self.version == 0 {
            return Err(Failure::NotConfigured);
        }
        let Some(model) = model else {
            return match self.routes.as_slice() {
                [only] => Ok(only),
                _ => Err(Failure::NoModel { known: self.known_models() }),
            };
        };
        self.route_of(model).ok_or_else(|| Failure::UnknownModel {
            model: shortened(model),
            known: self.known_models(),
        })
    }

    fn route_of(&self, model: &str) -> Option<&Arc<Route>> {
        let named = self.by_model.get(model).map(|&i| &self.routes[i]);
        named.or_else(|| self.routes.iter().find(|route| route.serves_unnamed(model)))
    }

    /// The route that lets clients call an administrative path.
    pub(crate) fn route_allowing(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.allow_admin_paths.iter().any(|p| p == path))
    }

    /// The largest body that any route takes.
    pub(crate) fn max_body_bytes(&self) -> usize {
        self.routes.iter().map(|route| route.max_body_bytes).max().unwrap_or(1 << 20)
    }

    /// The models that clients may ask for, each with its `/v1/models` entry where an endpoint gave one.
    pub(crate) fn models(&self) -> Vec<(String, Option<Box<str>>)> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut models = Vec::new();
        for route in &self.routes {
            for served in route.pool.iter().filter_map(|endpoint| endpoint.state.served()) {
                for model in served.iter() {
                    if !seen.contains(&model.id) && self.route_of(&model.id).is_some() {
                        seen.insert(model.id.clone());
                        models.push((model.id.clone(), Some(model.card.clone())));
                    }
                }
            }
            for name in route.models.iter().filter(|name| seen.insert((*name).clone())) {
                models.push((name.clone(), None));
            }
        }
        models
    }

    /// Some of the models, for an error message: the names in the configuration, or, without any, served ones.
    fn known_models(&self) -> String {
        let named: Vec<&str> = self.by_model.keys().map(String::as_str).collect();
        if !named.is_empty() {
            return known_models(named.into_iter());
        }
        let pools = self.routes.iter().flat_map(|route| route.pool.iter());
        let served: Vec<_> = pools.take(NAMED_ENDPOINTS).filter_map(|e| e.state.served()).collect();
        known_models(served.iter().flat_map(|served| served.iter().map(|m| m.id.as_str())))
    }
}

/// Endpoints whose models an error message looks at.
const NAMED_ENDPOINTS: usize = 16;

#[cfg(test)]
mod tests;
