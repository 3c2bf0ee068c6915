//! Routes as controllers push them: the newest of every route is in use, in memory and on disk.
//!
//! A router needs no controller to go on. It serves what it has for ever, and after a restart what it had on disk.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use qoe_discovery::client::Subscriber;
use qoe_discovery::proto::RouteLoad;
use qoe_discovery::saved::Saved;
use qoe_discovery::{Holdings, Origin, Progress, RouteConfig, Verdict, Version};
use qoe_runtime::readiness::Guard;

use crate::config::disk::Disk;
use crate::config::report::report;
use crate::routes::source::RouteSource;
use crate::shared::Shared;

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
    disk: Option<Arc<Disk>>,
    /// Not on disk yet.
    unsaved: bool,
    /// The last attempt to save has failed, and was logged.
    save_failed: bool,
    /// When a controller last sent or confirmed a state.
    heard: Option<Duration>,
    /// Held until there is a complete state to serve by, from a controller or from the disk: half of the routes would
    /// mislead clients about the others.
    awaiting: Option<Guard>,
}

impl Pushed {
    /// Nothing was pushed yet; what a former process left in `folder` is in use. `awaiting` is dropped once there
    /// is something to serve by.
    pub(crate) fn open(shared: &Arc<Shared>, folder: Option<&Path>, awaiting: Guard) -> Arc<Self> {
        let disk = folder.map(|folder| Arc::new(Disk::of(folder)));
        let saved = disk.as_ref().map(|disk| disk.read()).unwrap_or_default();
        let pushed = Self { shared: Arc::clone(shared), state: Mutex::default() };
        {
            let mut state = pushed.state();
            state.awaiting = Some(awaiting);
            for (route, version, body) in saved {
                match RouteConfig::decode(&body) {
                    Ok(config) => state.take(&route, &Origin::disk(version), body, config),
                    Err(error) => tracing::warn!(route, %error, "a saved route cannot be used"),
                }
            }
            state.disk = disk;
            state.unsaved = false;
            let routes = state.sources.len();
            if routes > 0 {
                tracing::info!(routes, "serving what was saved, until a controller is heard");
                pushed.begin(&mut state);
            }
        }
        Arc::new(pushed)
    }

    /// Tells metrics how old the state is. To be called every second or so.
    pub(crate) fn tell_age(&self) {
        let now = self.shared.now();
        let age = self.state().heard.map(|heard| now.saturating_sub(heard));
        // Before a controller was heard: since the start, when what is on disk was already older.
        self.shared.metrics.snapshot_age.set(age.unwrap_or(now).as_secs_f64());
    }

    /// Saves what is new. To be called every second or so, and not again before it has returned; it waits for the disk.
    pub(crate) fn save(&self) {
        let unsaved = self.state().unsaved();
        // The disk may be slow: what controllers send is taken in meanwhile.
        if let Some((disk, routes)) = unsaved {
            let saved =
                disk.write(routes.iter().map(|(name, version, body)| (&**name, version, body)));
            self.state().saved(&disk, saved);
        }
    }

    /// The state is whole. It is awaited no more once it is served by.
    fn begin(&self, state: &mut State) {
        let awaited = state.awaiting.take();
        self.put_into_use(state);
        drop(awaited);
    }

    /// Serves by the state's sources, once they are whole.
    fn put_into_use(&self, state: &State) {
        if state.awaiting.is_none() {
            let sources: Vec<_> = state.sources.values().map(Arc::clone).collect();
            self.shared.configure(&sources);
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn refuse(&self, route: &str, why: &str) -> String {
        self.shared.metrics.config_read("rejected");
        tracing::error!(route, why, "a pushed route is refused: the last good one stays in use");
        why.to_owned()
    }
}

impl State {
    fn take(&mut self, route: &str, origin: &Origin, body: Bytes, config: RouteConfig) {
        self.drop_source(route);
        let created = config.created;
        let source = Arc::new(RouteSource::of_push(route, config));
        self.sources.insert((created, route.to_owned()), source);
        self.holdings.hold(route, origin, Some(body));
        self.unsaved = true;
    }

    fn drop_source(&mut self, route: &str) {
        self.sources.retain(|(_, name), _| name != route);
    }

    fn remove(&mut self, route: &str, origin: &Origin) {
        tracing::info!(route, "route removed");
        self.drop_source(route);
        self.holdings.hold(route, origin, None);
        self.unsaved = true;
    }

    /// Takes in what a controller confirms. Returns whether routes were removed by that, and which it is to send again.
    fn confirm(
        &mut self,
        controller: SocketAddr,
        progress: Progress,
        now: Duration,
    ) -> (bool, Vec<String>) {
        if progress.confirms() {
            self.heard = Some(now);
        }
        let consequences = self.holdings.confirmed(controller, progress, now);
        for (route, version) in &consequences.removed {
            self.remove(route, &Origin::controller(controller, *version));
        }
        (!consequences.removed.is_empty(), consequences.send_again)
    }

    /// The routes, if they are not on disk as they are. They count as saved until the disk says otherwise, so that
    /// changes meanwhile are saved the next time.
    fn unsaved(&mut self) -> Option<(Arc<Disk>, Vec<Saved>)> {
        let disk = self.disk.as_ref().filter(|_| self.unsaved)?;
        let owned = |(name, version, body): (&str, &Version, &Bytes)| {
            (name.to_owned(), *version, body.clone())
        };
        self.unsaved = false;
        Some((Arc::clone(disk), self.holdings.states().map(owned).collect()))
    }

    fn saved(&mut self, disk: &Disk, saved: io::Result<()>) {
        match saved {
            Ok(()) => self.save_failed = false,
            Err(error) => {
                self.unsaved = true;
                // It is tried again, and logged once.
                if !std::mem::replace(&mut self.save_failed, true) {
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

    fn pushed(&self, route: &str, origin: Origin, body: Bytes) -> Result<(), String> {
        let now = self.shared.now();
        let mut state = self.state();
        state.heard = Some(now);
        match state.holdings.judge(route, &origin, Some(&body), now) {
            Verdict::Same => return Ok(()),
            Verdict::Older => return Err(self.older(route)),
            Verdict::New => {}
        }
        let config =
            RouteConfig::decode(&body).map_err(|error| self.refuse(route, &error.to_string()))?;
        state.take(route, &origin, body, config);
        self.put_into_use(&state);
        Ok(())
    }

    fn removed(&self, route: &str, origin: Origin) -> Result<(), String> {
        let now = self.shared.now();
        let mut state = self.state();
        state.heard = Some(now);
        match state.holdings.judge(route, &origin, None, now) {
            Verdict::Same => Ok(()),
            Verdict::Older => Err(self.older(route)),
            Verdict::New => {
                state.remove(route, &origin);
                self.put_into_use(&state);
                Ok(())
            }
        }
    }

    fn synced(&self, controller: SocketAddr, progress: Progress) {
        let mut state = self.state();
        state.holdings.synced(controller);
        state.confirm(controller, progress, self.shared.now());
        self.begin(&mut state);
    }

    fn confirmed(&self, controller: SocketAddr, progress: Progress) -> Vec<String> {
        let mut state = self.state();
        let (removed, send_again) = state.confirm(controller, progress, self.shared.now());
        if removed {
            self.put_into_use(&state);
        }
        send_again
    }

    fn disconnected(&self, controller: SocketAddr) {
        self.state().holdings.disconnected(controller);
    }

    fn connected(&self, controllers: usize) {
        self.shared.metrics.controllers.set(i64::try_from(controllers).unwrap_or(i64::MAX));
    }

    fn load(&self) -> Vec<RouteLoad> {
        let now = self.shared.now();
        let snapshot = self.shared.snapshot.load();
        snapshot.routes.iter().map(|route| report(route, now)).collect()
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
