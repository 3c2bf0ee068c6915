//! What a server serves, and where it reports what routers say.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::watch;

use crate::proto::{Hello, RouteLoad};
use crate::{Progress, Version, Versions};

/// All routes at one moment, as routers are to serve them.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// The routes, by `namespace/name`.
    pub routes: BTreeMap<Arc<str>, RouteState>,
    /// How far the cluster's history was read for this world.
    pub versions: Versions,
}

/// The state of one route.
#[derive(Clone, Debug)]
pub struct RouteState {
    /// Counts the states of all routes; another number is another state.
    pub nonce: u64,
    /// The state; `None` where there is none to be had, and routers keep what they have.
    pub body: Option<Bytes>,
}

impl World {
    /// The version of a route's state in this world. Of a namespace that is not watched any more, nothing later will be
    /// read: the latest of all.
    #[must_use]
    pub fn version(&self, route: &str) -> Version {
        self.versions.of_route(route).unwrap_or_else(|| self.versions.latest())
    }

    /// What a router that was sent this world may rely on.
    pub(super) fn progress(&self) -> Progress {
        let withheld = self.routes.iter().filter(|(_, state)| state.body.is_none());
        let withheld: HashSet<_> = withheld.map(|(route, _)| route.to_string()).collect();
        Progress { versions: self.versions.clone(), withheld }
    }
}

/// Receives what routers say. Called from many tasks; nothing here may wait.
pub trait Routers: Send + Sync + 'static {
    /// A router has connected; the number identifies this connection.
    fn joined(&self, connection: u64, hello: &Hello);
    /// It answered a push or a removal; `Err` says why it was refused.
    fn answered(&self, connection: u64, route: &str, nonce: u64, answer: Result<(), String>);
    /// It reported its load.
    fn reported(&self, connection: u64, load: Vec<RouteLoad>);
    /// The connection has ended.
    fn left(&self, connection: u64);
}

/// The times of a stream.
#[derive(Clone, Copy, Debug)]
pub struct Times {
    /// Between heartbeats.
    pub heartbeat: Duration,
    /// How long a stream lives at most; its router then opens another. Up to a third is taken off at random.
    pub lifetime: Duration,
}

impl Default for Times {
    fn default() -> Self {
        Self { heartbeat: Duration::from_secs(5), lifetime: Duration::from_secs(30 * 60) }
    }
}

/// Serves a world to routers.
#[derive(Debug)]
pub struct Server<R> {
    /// What to serve. `None`: there is no world yet, and no router gets a stream, since an empty world would take
    /// everybody's routes away.
    pub world: watch::Receiver<Option<Arc<World>>>,
    /// Why the world may be out of date; `None` while it is not.
    pub outage: watch::Receiver<Option<Arc<str>>>,
    /// Receives what routers say.
    pub routers: Arc<R>,
    /// The times of each stream.
    pub times: Times,
}

impl<R> Clone for Server<R> {
    fn clone(&self) -> Self {
        Self {
            world: self.world.clone(),
            outage: self.outage.clone(),
            routers: Arc::clone(&self.routers),
            times: self.times,
        }
    }
}
