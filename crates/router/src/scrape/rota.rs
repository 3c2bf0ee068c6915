//! When in an interval each endpoint is looked at.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use qoe_core::endpoint::state::EndpointState;

use crate::routes::snapshot::Snapshot;

/// The slices of an interval. With 20, the answers of 1,000 endpoints come 50 at a time, not much more than are asked
/// at once; with half, twice as many wait for a slot; with double, a thread that has nothing else to do wakes twice as
/// often.
pub(super) const SLICES: u32 = 20;

/// Name and authority: a pod that serves two routes on two ports is two endpoints.
pub(super) type Identity = (Arc<str>, Arc<str>);

/// An endpoint to look at.
#[derive(Clone)]
pub(super) struct ScrapeTarget {
    pub(super) endpoint: Arc<EndpointState>,
    /// The configuration lists its models, so that it is not asked for them.
    pub(super) told_models: bool,
}

impl ScrapeTarget {
    pub(super) fn identity(&self) -> Identity {
        (Arc::clone(&self.endpoint.name), Arc::clone(&self.endpoint.authority))
    }

    /// The same in every interval, and spread evenly over the endpoints.
    fn slice(&self) -> usize {
        let mut hasher = DefaultHasher::new();
        self.identity().hash(&mut hasher);
        (hasher.finish() % u64::from(SLICES)) as usize
    }
}

/// The endpoints of one snapshot, by slice.
#[derive(Default)]
pub(super) struct Rota {
    version: u64,
    slices: [Vec<ScrapeTarget>; SLICES as usize],
    identities: HashSet<Identity>,
}

impl Rota {
    pub(super) fn of(snapshot: &Snapshot) -> Self {
        let mut rota = Self { version: snapshot.version, ..Self::default() };
        for endpoint in &snapshot.endpoints {
            let told_models = snapshot.told_models.contains(&endpoint.name);
            let target = ScrapeTarget { endpoint: Arc::clone(endpoint), told_models };
            rota.identities.insert(target.identity());
            rota.slices[target.slice()].push(target);
        }
        rota
    }

    /// The version of the snapshot; 0 before the first.
    pub(super) const fn version(&self) -> u64 {
        self.version
    }

    /// The endpoints whose turn is in a slice.
    pub(super) fn slice(&self, slice: u32) -> &[ScrapeTarget] {
        &self.slices[slice as usize]
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &ScrapeTarget> {
        self.slices.iter().flatten()
    }

    pub(super) fn has(&self, identity: &Identity) -> bool {
        self.identities.contains(identity)
    }
}
