//! Which state of each route a router holds, and whether another one is to replace it.
//!
//! A router listens to every controller. One of them may lag behind (its watch is cut, it has just started), so what
//! was made from less of the cluster's history is refused. Versions are the cluster's own, and a cluster restored from
//! a backup counts from the past: what is refused for long enough is taken.

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use crate::Version;

/// A state that is older than what is held is refused for so long.
const REFUSED_FOR: Duration = Duration::from_secs(300);
/// Removed routes that are remembered.
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

/// All routes of a router, with their versions. `now` is any clock that does not go back.
#[derive(Debug, Default)]
pub struct Holdings {
    routes: HashMap<String, Held>,
}

#[derive(Debug)]
struct Held {
    version: Version,
    /// None: removed. It is remembered, so that a controller that lags does not bring it back.
    body: Option<Bytes>,
    refused_since: Option<Duration>,
}

impl Holdings {
    /// Whether this state of `route`, `None` for its end, is to be used. Nothing changes but for how long it has been
    /// refused; once it is in use, say so by [`Holdings::hold`].
    pub fn judge(
        &mut self,
        route: &str,
        version: &Version,
        body: Option<&[u8]>,
        now: Duration,
    ) -> Verdict {
        let Some(held) = self.routes.get_mut(route) else {
            return if body.is_some() { Verdict::New } else { Verdict::Same };
        };
        if held.body.as_deref() == body {
            held.version = held.version.max(version);
            held.refused_since = None;
            return Verdict::Same;
        }
        let older = match (&held.body, body) {
            (Some(_), Some(_)) => version.is_older_than(&held.version),
            // Whether there is a route at all is not for the watch of pods to tell.
            (None, _) | (_, None) => version.routes < held.version.routes,
        };
        if !older {
            return Verdict::New;
        }
        let since = *held.refused_since.get_or_insert(now);
        if now.saturating_sub(since) < REFUSED_FOR { Verdict::Older } else { Verdict::New }
    }

    /// This state is in use now.
    pub fn hold(&mut self, route: &str, version: Version, body: Option<Bytes>) {
        let held = Held { version, body, refused_since: None };
        self.routes.insert(route.to_owned(), held);
        let removed = self.routes.values().filter(|held| held.body.is_none()).count();
        if removed > MAX_REMOVED {
            self.routes.retain(|_, held| held.body.is_some());
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
}

#[cfg(test)]
mod tests;
