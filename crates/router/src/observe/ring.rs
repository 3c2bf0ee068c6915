//! The last requests, for `/debug/requests`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::observe::record::Record;

/// Requests that are kept.
const KEPT: usize = 1000;

/// The last requests.
#[derive(Default)]
pub(crate) struct Ring(Mutex<VecDeque<Record>>);

impl Ring {
    /// Keeps a request; the oldest goes.
    pub(crate) fn push(&self, record: Record) {
        let mut ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if ring.len() >= KEPT { ring.pop_front() } else { None };
        ring.push_back(record);
        drop(ring);
        drop(oldest); // freed outside the lock
    }

    /// The last `most` requests, newest first.
    pub(crate) fn last(&self, most: usize) -> Vec<Record> {
        let ring = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        ring.iter().rev().take(most).cloned().collect()
    }
}
