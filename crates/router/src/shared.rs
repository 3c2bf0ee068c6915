//! What all workers and the background share: the current snapshot, the clock, and what is told to the outside.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;

use crate::memory::BodyMemory;
use crate::metrics::Metrics;
use crate::record::Ring;
use crate::snapshot::Snapshot;
use crate::stored::StoredResponses;

/// The process's shared state. Read-mostly: the snapshot is swapped whole, counters are atomics.
pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    pub(crate) metrics: Metrics,
    pub(crate) ring: Ring,
    pub(crate) stored: StoredResponses,
    pub(crate) body_memory: Arc<BodyMemory>,
    epoch: Instant,
}

impl Shared {
    /// `body_memory`: bytes that request bodies may hold together.
    pub(crate) fn new(metrics: Metrics, body_memory: usize) -> Arc<Self> {
        Arc::new(Self {
            snapshot: ArcSwap::from_pointee(Snapshot::default()),
            metrics,
            ring: Ring::default(),
            stored: StoredResponses::default(),
            body_memory: Arc::new(BodyMemory::new(body_memory)),
            epoch: Instant::now(),
        })
    }

    /// Time since the process's epoch: the `now` of every decision.
    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}
