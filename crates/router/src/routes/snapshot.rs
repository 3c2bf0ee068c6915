//! The configuration and endpoints that requests are served by: immutable, swapped whole.

use std::collections::HashSet;
use std::sync::Arc;

use arc_swap::ArcSwap;
use qoe_core::endpoint::state::EndpointState;

use crate::routes::model_index::ModelIndex;
use crate::routes::no_route::{KnownModels, NoRoute};
use crate::routes::route::Route;
use crate::routes::source::RouteSource;

/// The body limit in bytes while there is no route: enough for a request to be told so.
const MAX_BODY_WITHOUT_ROUTE: usize = 1 << 20;

/// All routes and endpoints at one moment.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// Counts configurations, from 1; 0 is the empty one before the first.
    pub(crate) version: u64,
    /// The routes; of two that could serve a request, the first does.
    pub(crate) routes: Vec<Arc<Route>>,
    /// The endpoints of all routes, each once.
    pub(crate) endpoints: Vec<Arc<EndpointState>>,
    /// Names of endpoints whose models the configuration lists.
    pub(crate) told_models: HashSet<Arc<str>>,
    /// Follows what endpoints serve.
    models: ArcSwap<ModelIndex>,
}

impl Snapshot {
    /// A snapshot that finds no model until they are indexed.
    pub(super) fn new(
        version: u64,
        routes: Vec<Arc<Route>>,
        endpoints: Vec<Arc<EndpointState>>,
        told_models: HashSet<Arc<str>>,
    ) -> Self {
        Self { version, routes, endpoints, told_models, models: ArcSwap::default() }
    }

    /// Indexes the models that endpoints serve now. To be called before the snapshot is put into use, and whenever an
    /// endpoint serves other models than before.
    pub(crate) fn index_models(&self) {
        self.models.store(Arc::new(ModelIndex::of(&self.routes)));
    }

    /// Whether it was made of these sources.
    pub(crate) fn is_of(&self, sources: &[Arc<RouteSource>]) -> bool {
        let same = |(route, source): (&Arc<Route>, &Arc<RouteSource>)| {
            Arc::ptr_eq(&route.source, source) || route.source == *source
        };
        self.version > 0
            && self.routes.len() == sources.len()
            && self.routes.iter().zip(sources).all(same)
    }

    /// The route for a request: by its model; without one, the only route there is.
    pub(crate) fn route(&self, model: Option<&str>) -> Result<&Arc<Route>, NoRoute> {
        if self.version == 0 {
            return Err(NoRoute::NotConfigured);
        }
        let Some(model) = model else {
            return match self.routes.as_slice() {
                [only] => Ok(only),
                _ => Err(NoRoute::ModelMissing { known: self.known_models() }),
            };
        };
        let models = self.models.load();
        match models.route(model) {
            Some(i) => Ok(&self.routes[i]),
            None => Err(NoRoute::UnknownModel {
                model: model.to_owned(),
                known: Arc::clone(models.known()),
            }),
        }
    }

    /// The route that lets clients call an administrative path.
    pub(crate) fn route_allowing(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.allow_admin_paths.iter().any(|p| p == path))
    }

    /// The largest body in bytes that any route takes.
    pub(crate) fn max_body_bytes(&self) -> usize {
        let limits = self.routes.iter().map(|route| route.max_body_bytes);
        limits.max().unwrap_or(MAX_BODY_WITHOUT_ROUTE)
    }

    /// The models that clients may ask for, each with its `/v1/models` entry where an endpoint gave one.
    pub(crate) fn models(&self) -> Vec<(String, Option<Box<str>>)> {
        let index = self.models.load();
        let mut seen: HashSet<String> = HashSet::new();
        let mut models = Vec::new();
        for route in &self.routes {
            for served in route.pool.iter().filter_map(|endpoint| endpoint.state.served()) {
                for model in served.iter() {
                    if !seen.contains(&model.id) && index.route(&model.id).is_some() {
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

    /// Models for an error message.
    pub(crate) fn known_models(&self) -> Arc<KnownModels> {
        Arc::clone(self.models.load().known())
    }
}

#[cfg(test)]
mod tests;
