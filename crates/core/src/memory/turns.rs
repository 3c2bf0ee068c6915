//! The turns of `RoundRobin`.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::phase::Phase;

/// The next turn of `RoundRobin` in each phase; all workers share it.
#[derive(Debug, Default)]
pub struct Turns([AtomicUsize; 2]);

impl Turns {
    /// Takes the next turn of a phase.
    pub(crate) fn next(&self, phase: Phase) -> usize {
        self.0[phase as usize].fetch_add(1, Ordering::Relaxed)
    }
}
