//! How far controllers have read the cluster's history, and which of two points in it is older.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use crate::proto::{self, NamespaceVersion};

pub use crate::proto::Version;

impl Version {
    /// Whether this state was made from less of the cluster's history than `other`: less of one of the two watches, and
    /// no more of the other.
    ///
    /// A controller that has just listed everything claims to have read further than one that waits for the next
    /// event. That does no harm: the next event has a version later than both.
    #[must_use]
    pub const fn is_older_than(&self, other: &Self) -> bool {
        self.pods <= other.pods
            && self.routes <= other.routes
            && (self.pods < other.pods || self.routes < other.routes)
    }

    /// The later of both, watch by watch.
    #[must_use]
    pub fn max(&self, other: &Self) -> Self {
        Self { pods: self.pods.max(other.pods), routes: self.routes.max(other.routes) }
    }
}

/// How far one controller has read, by namespace; `""` stands for all namespaces without a version of their own.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Versions(BTreeMap<Arc<str>, Version>);

impl Versions {
    /// The version for a route, `namespace/name`; `None` where its namespace is not watched.
    #[must_use]
    pub fn of_route(&self, route: &str) -> Option<Version> {
        let namespace = route.split_once('/').map_or("", |(namespace, _)| namespace);
        self.0.get(namespace).or_else(|| self.0.get("")).copied()
    }

    /// The latest of all namespaces, watch by watch.
    #[must_use]
    pub fn latest(&self) -> Version {
        self.0.values().fold(Version::default(), |latest, version| latest.max(version))
    }

    /// Records that a namespace was read up to `version`.
    pub fn advance(&mut self, namespace: &Arc<str>, version: &Version) {
        let known = self.0.entry(Arc::clone(namespace)).or_default();
        *known = known.max(version);
    }
}

impl<const N: usize> From<[(&str, Version); N]> for Versions {
    fn from(versions: [(&str, Version); N]) -> Self {
        Self(versions.into_iter().map(|(namespace, version)| (namespace.into(), version)).collect())
    }
}

/// What a controller confirms in a heartbeat: see `Progress` in `proto/discovery.proto`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// How far it has read. Empty: it confirms nothing.
    pub versions: Versions,
    /// Routes that exist although it does not send them.
    pub withheld: HashSet<String>,
}

impl Progress {
    /// Whether the controller confirms anything at all.
    #[must_use]
    pub fn confirms(&self) -> bool {
        !self.versions.0.is_empty()
    }

    pub(crate) fn to_proto(&self) -> proto::Progress {
        let version = |(namespace, version): (&Arc<str>, &Version)| NamespaceVersion {
            namespace: namespace.to_string(),
            version: Some(*version),
        };
        proto::Progress {
            versions: self.versions.0.iter().map(version).collect(),
            withheld: self.withheld.iter().cloned().collect(),
        }
    }

    pub(crate) fn from_proto(progress: Option<proto::Progress>) -> Self {
        let proto::Progress { versions, withheld } = progress.unwrap_or_default();
        let version =
            |one: NamespaceVersion| (one.namespace.into(), one.version.unwrap_or_default());
        Self {
            versions: Versions(versions.into_iter().map(version).collect()),
            withheld: withheld.into_iter().collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn v(pods: u64, routes: u64) -> Version {
        Version { pods, routes }
    }

    #[test]
    fn the_version_of_a_route_is_that_of_its_namespace() {
        for (versions, of_route, latest) in [
            (Versions::from([("a", v(1, 2)), ("b", v(3, 1))]), Some(v(1, 2)), v(3, 2)),
            (Versions::from([("", v(5, 5)), ("b", v(3, 1))]), Some(v(5, 5)), v(5, 5)),
            (Versions::from([("b", v(3, 1)), ("c", v(1, 4))]), None, v(3, 4)),
            (Versions::default(), None, v(0, 0)),
        ] {
            assert_eq!((versions.of_route("a/r"), versions.latest()), (of_route, latest));
        }
    }

    #[test]
    fn progress_survives_the_wire_and_its_absence_confirms_nothing() {
        let progress = Progress {
            versions: Versions::from([("", v(1, 2)), ("a", v(3, 4))]),
            withheld: ["a/bad".to_owned()].into(),
        };
        assert_eq!(Progress::from_proto(Some(progress.to_proto())), progress);
        assert!(progress.confirms() && !Progress::from_proto(None).confirms());
    }
}
