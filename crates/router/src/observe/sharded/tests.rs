use std::sync::Barrier;
use std::thread;

use super::*;

const WORKERS: usize = 8;
const ROUNDS: u64 = 1000;

/// Runs `work` on several threads that are all alive until the last has done it.
fn on_workers<T: Send>(work: impl Fn(usize) -> T + Sync) -> Vec<T> {
    let barrier = Barrier::new(WORKERS);
    thread::scope(|scope| {
        let run = |i| {
            let (work, barrier) = (&work, &barrier);
            scope.spawn(move || {
                barrier.wait();
                let done = work(i);
                barrier.wait();
                done
            })
        };
        let threads: Vec<_> = (0..WORKERS).map(run).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

#[test]
fn no_two_workers_share_a_shard_or_a_cache_line_of_one() {
    let histogram = ShardedHistogram::new(&[1.0]);
    let mut shards = on_workers(|_| {
        let shard: *const HistogramShard = histogram.shards.own();
        assert_eq!(shard, std::ptr::from_ref(histogram.shards.own()), "a thread keeps its shard");
        shard.addr()
    });
    shards.sort_unstable();
    let size = size_of::<HistogramShard>();
    assert!(shards.iter().all(|shard| shard % 128 == 0), "{shards:?}");
    assert!(shards.windows(2).all(|two| two[1] >= (two[0] + size).next_multiple_of(128)));
}

#[test]
fn counts_of_all_threads_add_up_also_of_those_that_have_ended() {
    let counter = ShardedCounter::default();
    let counts = ShardedCounts::default();
    for _ in 0..2 {
        on_workers(|i| {
            for _ in 0..ROUNDS {
                counter.inc();
                counts.inc(i % 2);
            }
        });
    }
    let all = 2 * WORKERS as u64 * ROUNDS;
    assert_eq!(counter.get(), all);
    assert_eq!(counts.totals(), HashMap::from([(0, all / 2), (1, all / 2)]));
    counts.retain(|key| *key == 1);
    assert_eq!(counts.totals(), HashMap::from([(1, all / 2)]));
}

#[test]
fn observations_of_all_threads_add_up_by_bucket() {
    let histogram = ShardedHistogram::new(&[0.5, 1.0]);
    on_workers(|_| {
        for value in [0.25, 0.5, 0.75, 4.0] {
            histogram.observe(value);
        }
    });
    let workers = WORKERS as u64;
    let buckets = vec![(0.5, 2 * workers), (1.0, workers), (f64::INFINITY, workers)];
    assert_eq!(histogram.totals(), HistogramTotals { buckets, sum: 5.5 * WORKERS as f64 });
}

#[test]
fn what_is_not_a_number_is_in_no_bounded_bucket() {
    let histogram = ShardedHistogram::new(&[1.0]);
    histogram.observe(f64::NAN);
    assert_eq!(histogram.totals().buckets, [(1.0, 0), (f64::INFINITY, 1)]);
}
