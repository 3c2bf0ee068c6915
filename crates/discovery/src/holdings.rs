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
        if !version.is_older_than(&held.version) {
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
mod tests {
    use super::*;

    const fn v(pods: u64, routes: u64) -> Version {
        Version { pods, routes }
    }

    const fn s(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    fn holding(version: Version, body: Option<&'static [u8]>) -> Holdings {
        let mut holdings = Holdings::default();
        holdings.hold("r", version, body.map(Bytes::from_static));
        holdings
    }

    #[test]
    fn what_is_newer_replaces_what_is_older_and_never_the_other_way() {
        let mut holdings = holding(v(10, 10), Some(b"a"));
        for (version, verdict) in [
            (v(11, 10), Verdict::New),
            (v(10, 10), Verdict::New),
            (v(9, 10), Verdict::Older),
            (v(11, 9), Verdict::Older),
        ] {
            assert_eq!(holdings.judge("r", &version, Some(b"b"), s(0)), verdict, "{version:?}");
        }
        assert_eq!(holdings.judge("r", &v(9, 9), None, s(0)), Verdict::Older, "a removal too");
        assert_eq!(holdings.judge("other", &v(1, 1), Some(b"b"), s(0)), Verdict::New);
        assert_eq!(holdings.judge("other", &v(1, 1), None, s(0)), Verdict::Same, "never there");
    }

    #[test]
    fn the_same_state_is_taken_from_any_controller_and_keeps_the_later_version() {
        let mut holdings = holding(v(10, 10), Some(b"a"));
        assert_eq!(holdings.judge("r", &v(5, 12), Some(b"a"), s(0)), Verdict::Same);
        assert_eq!(holdings.judge("r", &v(10, 11), Some(b"b"), s(0)), Verdict::Older);
    }

    #[test]
    fn a_removed_route_does_not_come_back_from_the_past() {
        let mut holdings = holding(v(10, 10), None);
        assert_eq!(holdings.judge("r", &v(10, 9), Some(b"a"), s(0)), Verdict::Older);
        assert_eq!(holdings.judge("r", &v(10, 11), Some(b"a"), s(0)), Verdict::New);
        assert_eq!(holdings.names().count(), 0);
    }

    #[test]
    fn a_cluster_whose_history_began_anew_is_followed_after_a_while() {
        let mut holdings = holding(v(1000, 1000), Some(b"a"));
        assert_eq!(holdings.judge("r", &v(5, 5), Some(b"b"), s(100)), Verdict::Older);
        assert_eq!(holdings.judge("r", &v(6, 5), Some(b"b"), s(399)), Verdict::Older);
        assert_eq!(holdings.judge("r", &v(6, 5), Some(b"b"), s(400)), Verdict::New);
        holdings.hold("r", v(6, 5), Some(Bytes::from_static(b"b")));
        assert_eq!(holdings.judge("r", &v(7, 5), Some(b"c"), s(401)), Verdict::New);
    }

    #[test]
    fn whoever_holds_the_newer_state_interrupts_the_refusal() {
        let mut holdings = holding(v(10, 10), Some(b"a"));
        assert_eq!(holdings.judge("r", &v(5, 5), Some(b"b"), s(0)), Verdict::Older);
        assert_eq!(holdings.judge("r", &v(11, 10), Some(b"a"), s(200)), Verdict::Same);
        assert_eq!(holdings.judge("r", &v(5, 5), Some(b"b"), s(400)), Verdict::Older);
    }

    #[test]
    fn removed_routes_do_not_pile_up() {
        let mut holdings = Holdings::default();
        for i in 0..=MAX_REMOVED {
            holdings.hold(&format!("r{i}"), v(1, 1), None);
        }
        assert_eq!(holdings.routes.len(), 0);
    }
}
