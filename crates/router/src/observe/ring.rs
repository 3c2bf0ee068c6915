//! The last requests, for `/debug/requests`.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use crate::observe::record::Record;
use crate::observe::sharded::Sharded;

/// Requests that are kept of each worker: any of the last 1,000 may be one worker's. Half a kilobyte each.
const KEPT: usize = 1000;

/// The last requests of each worker, which alone pushes to its shard.
#[derive(Default)]
pub(crate) struct Ring(Sharded<Mutex<VecDeque<Record>>>);

impl Ring {
    /// Keeps a request; the worker's oldest goes.
    pub(crate) fn push(&self, record: Record) {
        let mut ring = self.0.own().lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if ring.len() >= KEPT { ring.pop_front() } else { None };
        ring.push_back(record);
        drop(ring);
        drop(oldest); // freed outside the lock, for which a page may wait
    }

    /// The last `limit` requests of all workers, newest first; at most 1,000.
    pub(crate) fn last(&self, limit: usize) -> Vec<Record> {
        let limit = limit.min(KEPT);
        let mut last = Vec::new();
        for shard in self.0.all() {
            let ring = shard.lock().unwrap_or_else(PoisonError::into_inner);
            last.extend(ring.iter().rev().take(limit).cloned());
        }
        // Stable, so that requests of one worker that ended in the same millisecond stay in order.
        last.sort_by_key(|record| Reverse(record.ended_at_ms));
        last.truncate(limit);
        last
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::observe::record::tests::record;

    fn ended_at(ms: u64) -> Record {
        Record { ended_at_ms: ms, ..record() }
    }

    #[test]
    fn the_last_requests_of_all_workers_are_shown_newest_first() {
        let (ring, barrier) = (Ring::default(), Barrier::new(2));
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (ring, barrier) = (&ring, &barrier);
                scope.spawn(move || {
                    (0..3).for_each(|i| ring.push(ended_at(2 * i + worker)));
                    barrier.wait(); // a worker that ended would leave its shard to the other
                });
            }
        });
        let last = |limit| ring.last(limit).iter().map(|r| r.ended_at_ms).collect::<Vec<_>>();
        assert_eq!(last(4), [5, 4, 3, 2]);
        assert_eq!(last(usize::MAX), [5, 4, 3, 2, 1, 0]);
    }

    #[test]
    fn the_oldest_go() {
        let ring = Ring::default();
        (0..=KEPT as u64).for_each(|ms| ring.push(ended_at(ms)));
        let last = ring.last(usize::MAX);
        assert_eq!((last.len(), last.last().map(|r| r.ended_at_ms)), (KEPT, Some(1)));
    }
}
