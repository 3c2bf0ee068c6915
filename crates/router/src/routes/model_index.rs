//! Which route serves a model, found by one look-up however many endpoints there are.

use std::collections::HashMap;
use std::sync::Arc;

use qoe_core::endpoint::state::Served;

use crate::routes::no_route::KnownModels;
use crate::routes::route::Route;

/// The routes of models at one moment: those that routes name, and those that endpoints serve.
#[derive(Debug, Default)]
pub(super) struct ModelIndex {
    /// The index of the route in the snapshot.
    routes: HashMap<Box<str>, usize>,
    known: Arc<KnownModels>,
}

impl ModelIndex {
    /// The index of these routes and of what their endpoints serve now. A route that names a model comes before one
    /// whose endpoints only serve it; of several, the first in order.
    pub(super) fn of(routes: &[Arc<Route>]) -> Self {
        let mut index: HashMap<Box<str>, usize> = HashMap::new();
        for (i, route) in routes.iter().enumerate() {
            for model in &route.models {
                index.entry(model.as_str().into()).or_insert(i);
            }
        }
        let mut known: KnownModels = index.keys().map(|model| &**model).collect();
        let none_named = index.is_empty();
        for (i, route) in routes.iter().enumerate() {
            for served in route.pool.iter().filter_map(|endpoint| endpoint.state.served()) {
                for model in served.iter().filter(|model| serves_unnamed(route, model)) {
                    // Most endpoints of a route serve the same models: look before a name is copied.
                    if !index.contains_key(&*model.id) {
                        index.insert(model.id.as_str().into(), i);
                    }
                }
            }
        }
        if none_named {
            known = index.keys().map(|model| &**model).collect();
        }
        Self { routes: index, known: Arc::new(known) }
    }

    /// The index of the route that serves `model`.
    pub(super) fn route(&self, model: &str) -> Option<usize> {
        self.routes.get(model).copied()
    }

    /// Models for an error message: those that routes name, or, where none does, those that endpoints serve.
    pub(super) const fn known(&self) -> &Arc<KnownModels> {
        &self.known
    }

    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.routes.len()
    }
}

/// Whether clients may ask the route for a model that its endpoints serve and no route names: any model where the
/// route names none, else adapters of those that it names.
fn serves_unnamed(route: &Route, model: &Served) -> bool {
    route.models.is_empty()
        || model.parent.as_ref().is_some_and(|parent| route.models.contains(parent))
}
