//! Legs: what routers send to endpoints.

use qoe_sim::engine::request::Event as Happened;

use crate::lab::world::event::{JobId, LegId};

/// What a leg is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Prefill and decoding on one endpoint.
    Whole,
    /// Prefill for a handoff.
    Prefill {
        /// The decoding endpoint, as an index of a machine.
        decoding: usize,
    },
    /// Decoding for a handoff, with the KV cache of its prefill leg.
    Decoding {
        /// The prefill leg whose KV cache is fetched.
        from: LegId,
    },
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Leg {
    pub(super) job: JobId,
    pub(super) node: usize,
    pub(super) kind: Kind,
    pub(super) cached: u32,
    pub(super) over: bool,
}

/// All legs there were, and the pauses between their tokens.
#[derive(Default)]
pub(super) struct Legs {
    pub(super) all: Vec<Leg>,
    pub(super) gaps: Vec<u64>,
    pub(super) happened: Vec<Happened>,
}

/// Buckets of pauses: 20 for each power of ten, from 0.1 ms on.
const BUCKETS_PER_DECADE: f64 = 20.0;
const SHORTEST: f64 = 1e-4;

impl Legs {
    /// A pause between two tokens.
    pub(super) fn gap(&mut self, seconds: f64) {
        let bucket = ((seconds / SHORTEST).max(1.0).log10() * BUCKETS_PER_DECADE).ceil() as usize;
        if self.gaps.len() <= bucket {
            self.gaps.resize(bucket + 1, 0);
        }
        self.gaps[bucket] += 1;
    }

    /// The pauses as a histogram.
    pub(super) fn gaps(&self) -> Vec<(f64, u64)> {
        let bound = |bucket: usize| SHORTEST * 10_f64.powf(bucket as f64 / BUCKETS_PER_DECADE);
        let counted = self.gaps.iter().enumerate().filter(|(_, count)| **count > 0);
        counted.map(|(bucket, count)| (bound(bucket), *count)).collect()
    }
}
