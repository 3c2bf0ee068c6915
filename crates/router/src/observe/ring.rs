//! The last requests, for `/debug/requests`.

use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::observe::record::Record;
use crate::observe::sharded::Sharded;

/// Requests that are kept of each worker: any of the last 1,000 may be one worker's. Half a kilobyte each.
const KEPT: usize = 1000;

/// The last requests of each worker, which alone pushes to its shard.
#[derive(Default)]
pub(crate) struct Ring(Sharded<Mutex<VecDeque<(Duration, Record)>>>);

impl Ring {
    /// Keeps a request that ended `now`; the worker's oldest goes.
    pub(crate) fn push(&self, now: Duration, record: Record) {
        let mut ring = self.0.own().lock().unwrap_or_else(PoisonError::into_inner);
        let oldest = if ring.len() >= KEPT { ring.pop_front() } else { None };
        ring.push_back((now, record));
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
        // Not by the record's own time: many requests end in one millisecond.
        last.sort_by_key(|(ended, _)| Reverse(*ended));
        last.into_iter().take(limit).map(|(_, record)| record).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Barrier;

    use super::*;
    use crate::observe::record::tests::record;

    /// Keeps a request that ended `nanos` after the start.
    fn end(ring: &Ring, nanos: u64) {
        let record = Record { request_id: nanos.to_string().into(), ..record() };
        ring.push(Duration::from_nanos(nanos), record);
    }

    fn last(ring: &Ring, limit: usize) -> Vec<String> {
        ring.last(limit).iter().map(|record| record.request_id.to_string()).collect()
    }

    #[test]
    fn the_last_requests_of_all_workers_are_shown_newest_first() {
        let (ring, barrier) = (Ring::default(), Barrier::new(2));
        std::thread::scope(|scope| {
            for worker in 0..2 {
                let (ring, barrier) = (&ring, &barrier);
                scope.spawn(move || {
                    (0..3).for_each(|i| end(ring, 2 * i + worker));
                    barrier.wait(); // a worker that ended would leave its shard to the other
                });
            }
        });
        assert_eq!(last(&ring, 4), ["5", "4", "3", "2"]);
        assert_eq!(last(&ring, usize::MAX), ["5", "4", "3", "2", "1", "0"]);
    }

    #[test]
    fn the_oldest_go() {
        let ring = Ring::default();
        (0..=KEPT as u64).for_each(|nanos| end(&ring, nanos));
        let last = last(&ring, usize::MAX);
        assert_eq!((last.len(), last.last().map(String::as_str)), (KEPT, Some("1")));
    }
}
