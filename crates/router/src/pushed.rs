//! Routes as controllers push them: the newest of every route is in use, in memory and on disk.
//!
//! A router needs no controller to go on. It serves what it has for ever, and after a restart what it had on disk.

mod disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use qoe_discovery::client::Subscriber;
use qoe_discovery::proto::RouteLoad;
use qoe_discovery::{Holdings, RouteConfig, Verdict, Version};
use qoe_runtime::readiness::Guard;

use crate::load;
use crate::shared::Shared;
use crate::source::RouteSource;
use disk::Disk;

/// What was pushed, and the snapshot that is made of it.
pub(crate) struct Pushed {
    shared: Arc<Shared>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    holdings: Holdings,
    /// By age, then name: of two routes that could serve a request, the older does.
    sources: BTreeMap<(i64, String), Arc<RouteSource>>,
    disk: Option<Disk>,
    /// Not on disk yet.
    unsaved: bool,
    /// When a controller was last heard.
    heard: Option<Duration>,
    connected: usize,
    awaiting: Option<Guard>,
}

impl Pushed {
    /// Nothing was pushed yet; what a former process left in `folder` is in use. `awaiting` is dropped once there
    /// is something to serve by.
    pub(crate) fn open(shared: &Arc<Shared>, folder: Option<&Path>, awaiting: Guard) -> Arc<Self> {
        let disk = folder.map(Disk::of);
        let saved = disk.as_ref().map(Disk::read).unwrap_or_default();
        let pushed = Self { shared: Arc::clone(shared), state: Mutex::default() };
        {
            let mut state = pushed.state();
            state.awaiting = Some(awaiting);
            let found = saved.len();
            for (route, version, body) in saved {
                match RouteConfig::decode(&body) {
                    Ok(config) => state.take(&route, version, body, config),
                    Err(error) => tracing::warn!(route, %error, "a saved route cannot be used"),
                }
            }
            state.disk = disk;
            state.unsaved = false;
            if found > 0 {
                tracing::info!(
                    routes = found,
                    "serving what was saved, until a controller is heard"
                );
                pushed.put_into_use(&mut state);
            }
        }
        Arc::new(pushed)
    }

    /// Tells metrics how old the state is, and saves what is new. To be called every second or so.
    pub(crate) fn tick(&self) {
        let now = self.shared.now();
        let mut state = self.state();
        let age = state.heard.map(|heard| now.saturating_sub(heard));
        // Before a controller was heard: since the start, when what is on disk was already older.
        self.shared.metrics.snapshot_age.set(age.unwrap_or(now).as_secs_f64());
        state.save();
    }

    /// Uses the state's sources.
    fn put_into_use(&self, state: &mut State) {
        let sources: Vec<_> = state.sources.values().map(Arc::clone).collect();
        self.shared.configure(&sources);
        state.awaiting = None;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn heard(&self, state: &mut State) {
        state.heard = Some(self.shared.now());
    }

    fn refuse(&self, route: &str, why: &str) -> String {
        self.shared.metrics.config_read("rejected");
        tracing::error!(route, why, "a pushed route is refused: the last good one stays in use");
        why.to_owned()
    }
}

impl State {
    fn take(&mut self, route: &str, version: Version, body: Bytes, config: RouteConfig) {
        self.drop_source(route);
        let created = config.created;
        let source = Arc::new(RouteSource::of_push(route, config));
        self.sources.insert((created, route.to_owned()), source);
        self.holdings.hold(route, version, Some(body));
        self.unsaved = true;
    }

    fn drop_source(&mut self, route: &str) {
        self.sources.retain(|(_, name), _| name != route);
    }

    fn save(&mut self) {
        if let Some(disk) = &self.disk
            && self.unsaved
        {
            match disk.write(self.holdings.states()) {
                Ok(()) => self.unsaved = false,
                Err(error) => {
                    tracing::warn!(%error, folder = %disk.folder().display(), "cannot save routes: after a restart they would come from a controller only");
                }
            }
        }
    }
}

impl Subscriber for Pushed {
    fn held(&self) -> Vec<String> {
        self.state().holdings.names().map(str::to_owned).collect()
    }

    fn pushed(&self, route: &str, version: Version, body: Bytes) -> Result<(), String> {
        let now = self.shared.now();
        let mut state = self.state();
        self.heard(&mut state);
        match state.holdings.judge(route, &version, Some(&body), now) {
            Verdict::Same => return Ok(()),
            Verdict::Older => return Err(self.older(route)),
            Verdict::New => {}
        }
        let config =
            RouteConfig::decode(&body).map_err(|error| self.refuse(route, &error.to_string()))?;
        state.take(route, version, body, config);
        self.put_into_use(&mut state);
        Ok(())
    }

    fn removed(&self, route: &str, version: Version) -> Result<(), String> {
        let now = self.shared.now();
        let mut state = self.state();
        self.heard(&mut state);
        match state.holdings.judge(route, &version, None, now) {
            Verdict::Same => Ok(()),
            Verdict::Older => Err(self.older(route)),
            Verdict::New => {
                tracing::info!(route, "route removed");
                state.drop_source(route);
                state.holdings.hold(route, version, None);
                state.unsaved = true;
                self.put_into_use(&mut state);
                Ok(())
            }
        }
    }

    fn synced(&self) {
        let mut state = self.state();
        self.heard(&mut state);
        self.put_into_use(&mut state);
    }

    fn heard(&self) {
        self.heard(&mut self.state());
    }

    fn connected(&self, controllers: usize) {
        self.state().connected = controllers;
        self.shared.metrics.controllers.set(i64::try_from(controllers).unwrap_or(i64::MAX));
    }

    fn load(&self) -> Vec<RouteLoad> {
        let now = self.shared.now();
        let snapshot = self.shared.snapshot.load();
        snapshot.routes.iter().map(|route| load::report(route, now)).collect()
    }
}

impl Pushed {
    /// A controller lags. That is no fault of the route, and no error of the router.
    fn older(&self, route: &str) -> String {
        self.shared.metrics.config_read("older");
        tracing::info!(route, "a controller pushed an older state than is in use; it is not taken");
        "older than what is in use".to_owned()
    }
}

#[cfg(test)]
mod tests;
