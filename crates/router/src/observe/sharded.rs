//! Counters and histograms that all workers write and only a scrape reads: one shard for each thread, merged when
//! they are read.
//!
//! A single atomic would move its cache line between the cores at every token, and a mutex would also stop workers.
//! A shard is written by its own thread only: shards of threads that run at the same time are different, and the
//! shard of a thread that ended goes, with its counts, to one that starts later.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use thread_local::ThreadLocal;

/// Two cache lines of 64 bytes, which x86 fetches in pairs, or one of 128 bytes: shards never share one.
#[derive(Debug, Default)]
#[repr(align(128))]
struct Padded<T>(T);

/// One `T` for each thread.
#[derive(Debug)]
pub(super) struct Sharded<T: Send>(ThreadLocal<Padded<T>>);

impl<T: Send> Default for Sharded<T> {
    fn default() -> Self {
        Self(ThreadLocal::new())
    }
}

impl<T: Default + Send + Sync> Sharded<T> {
    /// The calling thread's shard.
    pub(super) fn own(&self) -> &T {
        &self.0.get_or_default().0
    }

    /// The shards of all threads.
    pub(super) fn all(&self) -> impl Iterator<Item = &T> {
        self.0.iter().map(|padded| &padded.0)
    }
}

/// A counter.
#[derive(Debug, Default)]
pub(crate) struct ShardedCounter(Sharded<AtomicU64>);

impl ShardedCounter {
    /// Adds 1.
    pub(crate) fn inc(&self) {
        self.inc_by(1);
    }

    /// Adds `by`.
    pub(crate) fn inc_by(&self, by: u64) {
        let shard = self.0.own();
        // No other thread writes it, so that no atomic addition is needed.
        shard.store(shard.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
    }

    /// The sum over all threads.
    pub(crate) fn get(&self) -> u64 {
        self.0.all().map(|shard| shard.load(Ordering::Relaxed)).sum()
    }
}

/// The most upper bounds that a histogram here has; its buckets are one more, for what is above them all.
const MAX_BOUNDS: usize = 15;

#[derive(Debug, Default)]
struct HistogramShard {
    /// Observations in each bucket, not in those below it.
    buckets: [AtomicU64; MAX_BOUNDS + 1],
    /// The sum of the observations, as the bits of an `f64`.
    sum: AtomicU64,
}

/// A histogram with fixed buckets.
#[derive(Debug)]
pub(crate) struct ShardedHistogram {
    bounds: &'static [f64],
    shards: Sharded<HistogramShard>,
}

/// What a histogram has counted, over all threads.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct HistogramTotals {
    /// Upper bound (infinity for the last) and number of observations of each bucket alone.
    pub(crate) buckets: Vec<(f64, u64)>,
    pub(crate) sum: f64,
}

impl ShardedHistogram {
    /// A histogram with these inclusive upper bounds, in ascending order, and one bucket above them.
    pub(crate) fn new(bounds: &'static [f64]) -> Self {
        debug_assert!(bounds.len() <= MAX_BOUNDS, "{} bounds", bounds.len());
        Self { bounds, shards: Sharded::default() }
    }

    /// Counts one observation.
    pub(crate) fn observe(&self, value: f64) {
        let HistogramShard { buckets, sum } = self.shards.own();
        // What is not a number is in no bounded bucket.
        let bucket = self.bounds.iter().position(|bound| *bound >= value);
        let bucket = &buckets[bucket.unwrap_or(self.bounds.len())];
        // No other thread writes them, so that no atomic addition is needed.
        bucket.store(bucket.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
        let before = f64::from_bits(sum.load(Ordering::Relaxed));
        sum.store((before + value).to_bits(), Ordering::Relaxed);
    }

    /// The sum over all threads.
    pub(crate) fn totals(&self) -> HistogramTotals {
        let bounds = self.bounds.iter().copied().chain([f64::INFINITY]);
        let mut buckets: Vec<_> = bounds.map(|bound| (bound, 0)).collect();
        let mut sum = 0.0;
        for shard in self.shards.all() {
            for ((_, total), own) in buckets.iter_mut().zip(&shard.buckets) {
                *total += own.load(Ordering::Relaxed);
            }
            sum += f64::from_bits(shard.sum.load(Ordering::Relaxed));
        }
        HistogramTotals { buckets, sum }
    }
}

/// Counters by a key that is known only when it is counted.
#[derive(Debug)]
pub(crate) struct ShardedCounts<K: Send>(Sharded<Mutex<HashMap<K, u64>>>);

impl<K: Send> Default for ShardedCounts<K> {
    fn default() -> Self {
        Self(Sharded::default())
    }
}

impl<K: Clone + Eq + Hash + Send> ShardedCounts<K> {
    /// Adds 1 to the counter of this key.
    pub(crate) fn inc(&self, key: K) {
        // Only a scrape or a change of configuration ever holds another thread's map.
        *locked(self.0.own()).entry(key).or_default() += 1;
    }

    /// The sums over all threads.
    pub(crate) fn totals(&self) -> HashMap<K, u64> {
        let mut totals = HashMap::new();
        for shard in self.0.all() {
            for (key, count) in &*locked(shard) {
                *totals.entry(key.clone()).or_default() += count;
            }
        }
        totals
    }

    /// Forgets the counters of all other keys.
    pub(crate) fn retain(&self, keeps: impl Fn(&K) -> bool) {
        self.0.all().for_each(|shard| locked(shard).retain(|key, _| keeps(key)));
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
