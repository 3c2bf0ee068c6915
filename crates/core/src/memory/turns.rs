//! The next turn of `RoundRobin`, per phase.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::phase::Phase;

/// The turn of `RoundRobin`, one for each phase; shared by all workers.
#[derive(Debug, Default)]
pub struct Turns([AtomicUsize; 2]);

impl Turns {
    pub(crate) fn next(&self, phase: Phase) -> usize {
        self.0[phase as usize].fetch_add(1, Ordering::Relaxed)
    }
}
