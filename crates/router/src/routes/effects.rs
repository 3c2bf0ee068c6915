//! What becomes of live state when a snapshot is put into use.

use std::sync::Arc;

use qoe_core::endpoint::state::{EndpointState, Scheduling, Served};

use crate::routes::route::Route;

/// Changes to state that the previous snapshot serves by too.
#[derive(Default)]
pub(crate) struct Effects {
    scheduling: Vec<(Arc<EndpointState>, Scheduling)>,
    served: Vec<(Arc<EndpointState>, Vec<Served>)>,
    routes: Vec<Arc<Route>>,
}

impl Effects {
    /// An endpoint takes requests in this order from now on, and serves these models, if any are named.
    pub(super) fn changed_endpoint(
        &mut self,
        state: &Arc<EndpointState>,
        scheduling: Scheduling,
        served: Vec<Served>,
    ) {
        if state.scheduling() != scheduling {
            self.scheduling.push((Arc::clone(state), scheduling));
        }
        if !served.is_empty() && state.served().is_none_or(|before| *before != served) {
            self.served.push((Arc::clone(state), served));
        }
    }

    /// The limits and endpoints of a route that stays are now these.
    pub(super) fn changed_route(&mut self, route: &Arc<Route>) {
        self.routes.push(Arc::clone(route));
    }

    /// Changes live state. To be called where the snapshot is put into use.
    pub(crate) fn apply(self) {
        for (state, scheduling) in self.scheduling {
            state.set_scheduling(scheduling);
        }
        for (state, served) in self.served {
            state.set_served(served);
        }
        for route in self.routes {
            route.state.admission.set_most(route.max_queued as usize);
            // An endpoint that comes back at another address comes with an empty cache.
            route.state.memory.prefixes().retain(|tag| route.pool.of_tag(tag).is_some());
        }
    }
}
