//! Which state of each route a router holds, and whether another one is to replace it.
//!
//! A router listens to every controller, and one of them may lag: its watch is cut, or it has just started. A state made
//! from less of the cluster's history than the one held is refused, for as long as a connected controller confirms
//! what is held. Only when none does, age decides: versions are the cluster's own, and a cluster restored from a backup
//! counts from the past, so what was refused for [`REFUSED_FOR`] is then taken.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;

use crate::{Progress, Version};

/// How long an older state is refused while nobody confirms what is held. Controllers that restart, all at once, are
/// back within it; a router follows a restored cluster this late. At half of it a slow restart could revert routes; at
/// double, a restored cluster is not followed for ten minutes.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// How long what is held may be older than what another controller sent, before that one is asked to send its state
/// again. A healthy controller shows how far it has read every 35 s: its watches are renewed, and tell, every 30 s, and
/// heartbeats come every 5 s. At half of it two healthy controllers of different releases could take turns.
const LAGS_FOR: Duration = Duration::from_secs(60);
/// Removed routes that are remembered, some 100 bytes each.
const MAX_REMOVED: usize = 10_000;

/// What to do with a state that came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is to be used.
    New,
    /// It is in use.
    Same,
    /// What is held is newer.
    Older,
}

/// Where a state came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Origin {
    /// The controller that sent it; `None`: it was read from disk, and nobody confirms it.
    pub controller: Option<SocketAddr>,
    /// How far that controller had read when it made the state.
    pub version: Version,
}

impl Origin {
    /// A state read from disk.
    #[must_use]
    pub const fn disk(version: Version) -> Self {
        Self { controller: None, version }
    }

    /// A state sent by a controller.
    #[must_use]
    pub const fn controller(controller: SocketAddr, version: Version) -> Self {
        Self { controller: Some(controller), version }
    }
}

/// What follows from a controller's progress.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Consequences {
    /// Routes that it has seen deleted after the held state was made, with the version for [`Holdings::hold`].
    pub removed: Vec<(String, Version)>,
    /// Routes whose state was taken from this controller, and then replaced by one of a controller that has since
    /// turned out to lag or is gone. It is to send them again.
    pub send_again: Vec<String>,
}

/// All routes of a router, with their versions. `now` is any clock that does not go back.
#[derive(Debug, Default)]
pub struct Holdings {
    routes: HashMap<String, Held>,
    controllers: HashMap<SocketAddr, Controller>,
}

#[derive(Debug)]
struct Held {
    version: Version,
    /// `None`: removed. It is remembered, so that a controller that lags does not bring it back.
    body: Option<Bytes>,
    /// Connected controllers that sent this state last.
    sent_by: HashSet<SocketAddr>,
    /// When an older state was first refused while nobody confirmed this one.
    refused_since: Option<Duration>,
}

/// What a connected controller has said.
#[derive(Debug, Default)]
struct Controller {
    progress: Progress,
    /// It has sent every route once.
    synced: bool,
    /// The routes that it sent, and what became of its last state of each.
    routes: HashMap<String, Claim>,
}

/// What became of the last state of a route that a controller sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Claim {
    /// It was not taken: the controller offers it again by itself.
    Refused,
    Taken,
    /// It was taken, and then replaced by another controller's. The version is how far its sender had read at `since`.
    Replaced {
        version: Version,
        since: Duration,
    },
}

impl Controller {
    /// The version at which it confirms that there is no such route.
    fn absent_at(&self, route: &str) -> Option<Version> {
        let sent = self.routes.contains_key(route) || self.progress.withheld.contains(route);
        let version = self.progress.versions.of_route(route)?;
        (self.synced && !sent).then_some(version)
    }
}

impl Holdings {
    /// Whether this state of `route`, `None` for its removal, is to be used. If so, pass it to [`Holdings::hold`] once it
    /// is in use.
    pub fn judge(
        &mut self,
        route: &str,
        origin: &Origin,
        body: Option<&[u8]>,
        now: Duration,
    ) -> Verdict {
        self.record(route, origin, body.is_some());
        if body.is_some() && self.deleted_since(route, &origin.version) {
            return Verdict::Older;
        }
        let confirmed = self.is_confirmed(route);
        let Some(held) = self.routes.get_mut(route) else {
            return if body.is_some() { Verdict::New } else { Verdict::Same };
        };
        if held.body.as_deref() == body {
            held.version = held.version.max(&origin.version);
            held.refused_since = None;
            self.taken(route, origin);
            return Verdict::Same;
        }
        if !held.is_newer_than(&origin.version, body.is_some()) {
            return Verdict::New;
        }
        if confirmed {
            held.refused_since = None;
            return Verdict::Older;
        }
        let since = *held.refused_since.get_or_insert(now);
        if now.saturating_sub(since) < REFUSED_FOR { Verdict::Older } else { Verdict::New }
    }

    /// This state is in use now.
    pub fn hold(&mut self, route: &str, origin: &Origin, body: Option<Bytes>) {
        let held =
            Held { version: origin.version, body, sent_by: HashSet::new(), refused_since: None };
        self.routes.insert(route.to_owned(), held);
        self.taken(route, origin);
        let removed = self.routes.values().filter(|held| held.body.is_none()).count();
        if removed > MAX_REMOVED {
            self.routes.retain(|_, held| held.body.is_some());
        }
    }

    /// A controller has sent every route once.
    pub fn synced(&mut self, controller: SocketAddr) {
        self.controllers.entry(controller).or_default().synced = true;
    }

    /// A controller confirms all that it sent, as of this progress.
    pub fn confirmed(
        &mut self,
        controller: SocketAddr,
        progress: Progress,
        now: Duration,
    ) -> Consequences {
        for (route, held) in &mut self.routes {
            if held.sent_by.contains(&controller)
                && let Some(version) = progress.versions.of_route(route)
            {
                held.version = held.version.max(&version);
            }
        }
        let said = self.controllers.entry(controller).or_default();
        said.progress = progress;
        let removed = |(route, held): (&String, &Held)| {
            let version = said.absent_at(route)?;
            let newer = held.body.is_some() && held.version.routes < version.routes;
            newer.then(|| (route.clone(), version))
        };
        let removed = self.routes.iter().filter_map(removed).collect();
        let mut send_again = Vec::new();
        for (route, claim) in &mut said.routes {
            let (Some(held), Some(version)) =
                (self.routes.get(route), said.progress.versions.of_route(route))
            else {
                continue;
            };
            *claim = match *claim {
                Claim::Refused => Claim::Refused,
                _ if held.sent_by.contains(&controller) => Claim::Taken,
                Claim::Replaced { version, since } if held.is_older_than(&version, true) => {
                    if now.saturating_sub(since) < LAGS_FOR {
                        continue;
                    }
                    send_again.push(route.clone());
                    Claim::Refused
                }
                // Whoever sent what is held has read on since.
                Claim::Taken | Claim::Replaced { .. } => Claim::Replaced { version, since: now },
            };
        }
        Consequences { removed, send_again }
    }

    /// A controller's stream has ended: it confirms nothing any more.
    pub fn disconnected(&mut self, controller: SocketAddr) {
        self.controllers.remove(&controller);
        for held in self.routes.values_mut() {
            held.sent_by.remove(&controller);
        }
    }

    /// The routes that are held.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.states().map(|(name, ..)| name)
    }

    /// The routes that are held, with their states.
    pub fn states(&self) -> impl Iterator<Item = (&str, &Version, &Bytes)> {
        self.routes
            .iter()
            .filter_map(|(name, held)| Some((name.as_str(), &held.version, held.body.as_ref()?)))
    }

    /// Notes what a controller said last of a route, as not taken for now.
    fn record(&mut self, route: &str, origin: &Origin, exists: bool) {
        let Some(controller) = origin.controller else { return };
        let said = self.controllers.entry(controller).or_default();
        if exists {
            said.routes.insert(route.to_owned(), Claim::Refused);
        } else {
            said.routes.remove(route);
        }
        if let Some(held) = self.routes.get_mut(route) {
            held.sent_by.remove(&controller);
        }
    }

    /// Notes that a controller's last state of a route is the one held.
    fn taken(&mut self, route: &str, origin: &Origin) {
        let Some(controller) = origin.controller else { return };
        if let Some(held) = self.routes.get_mut(route) {
            held.sent_by.insert(controller);
        }
        let said = self.controllers.entry(controller).or_default();
        if let Some(claim) = said.routes.get_mut(route) {
            *claim = Claim::Taken;
        }
    }

    /// Whether a connected controller has read past `version` and has no such route.
    fn deleted_since(&self, route: &str, version: &Version) -> bool {
        let mut absences = self.controllers.values().filter_map(|said| said.absent_at(route));
        absences.any(|absent_at| version.routes < absent_at.routes)
    }

    /// Whether a connected controller confirms what is held of a route.
    fn is_confirmed(&self, route: &str) -> bool {
        match self.routes.get(route) {
            Some(Held { body: Some(_), sent_by, .. }) => sent_by
                .iter()
                .filter_map(|controller| self.controllers.get(controller))
                .any(|said| said.progress.confirms()),
            Some(Held { body: None, .. }) | None => {
                self.controllers.values().any(|said| said.absent_at(route).is_some())
            }
        }
    }
}

impl Held {
    /// Whether another state, of a route that exists or not, was made from less of the history.
    fn is_newer_than(&self, version: &Version, exists: bool) -> bool {
        is_older(version, &self.version, self.body.is_some() && exists)
    }

    fn is_older_than(&self, version: &Version, exists: bool) -> bool {
        is_older(&self.version, version, self.body.is_some() && exists)
    }
}

/// Whether one state of a route is older than another.
const fn is_older(one: &Version, other: &Version, both_exist: bool) -> bool {
    // The watch of pods does not tell whether there is a route.
    if both_exist { one.is_older_than(other) } else { one.routes < other.routes }
}

#[cfg(test)]
mod race;
#[cfg(test)]
mod tests;
