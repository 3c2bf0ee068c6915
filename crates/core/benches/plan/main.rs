//! What a decision costs: plans over 100 and 1,000 endpoints, the prefix index, the queue.
//!
//! Goals: 2 µs for a `Predictive` plan over 100 endpoints, 10 µs over 1,000.

use std::hint::black_box;
use std::time::Duration;

use criterion::{BatchSize, BenchmarkId, Criterion};
use qoe_core::admit::ask::Ask;
use qoe_core::admit::queue::Queue;
use qoe_core::admit::step::Outlook;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::tag::EndpointTag;
use qoe_core::memory::arrival_rates::ArrivalRates;
use qoe_core::memory::prefix::PrefixIndex;
use qoe_core::plan::plan;
use qoe_core::plan::policy::{EndpointPolicy, Policy, Predictive};
use qoe_core::plan::weighted::Weights;
use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;
use rand::SeedableRng;
use rand::rngs::SmallRng;

mod cluster;

use self::cluster::{Cluster, demand};

fn main() {
    let mut criterion = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2))
        .configure_from_args();
    plans(&mut criterion);
    prefixes(&mut criterion);
    queue(&mut criterion);
    criterion.final_summary();
}

fn plans(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("plan");
    let policies = [
        ("Predictive", Policy::Predictive(Predictive::default())),
        ("LeastRequest", EndpointPolicy::LeastRequest.into()),
        ("PrefixAffinity", EndpointPolicy::PrefixAffinity.into()),
        ("Weighted", EndpointPolicy::Weighted(Weights::default()).into()),
    ];
    for endpoints in [100, 1_000] {
        let cluster = Cluster::of(endpoints);
        for (name, policy) in &policies {
            let mut rng = SmallRng::seed_from_u64(1);
            let (scope, demand) = (cluster.scope(policy), demand());
            group.bench_function(BenchmarkId::new(*name, endpoints), |bencher| {
                bencher.iter(|| plan(black_box(&scope), black_box(&demand), &mut rng));
            });
        }
    }
    group.finish();
}

fn prefixes(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("prefix");
    for blocks in [8, 300] {
        // Many prompts, so that the table does not stay in the first cache.
        let prompts: Vec<Vec<u64>> = (0..64_u64)
            .map(|prompt| (0..blocks).map(|block| scrambled(prompt << 20 | block)).collect())
            .collect();
        let tags: [EndpointTag; 16] = std::array::from_fn(|_| EndpointTag::next());
        let mut index = PrefixIndex::default();
        for (tag, prompt) in tags[..10].iter().cycle().zip(&prompts) {
            index.insert(*tag, prompt);
        }
        let mut turn = 0;
        let mut next = || {
            turn = (turn + 1) % prompts.len();
            turn
        };
        group.bench_function(BenchmarkId::new("held", blocks), |bencher| {
            bencher.iter(|| index.held(black_box(&prompts[next()]), tags));
        });
        group.bench_function(BenchmarkId::new("insert", blocks), |bencher| {
            bencher.iter(|| index.insert(tags[3], black_box(&prompts[next()])));
        });
    }
    group.finish();
}

/// Block hashes are spread over all numbers.
fn scrambled(number: u64) -> u64 {
    number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(31)
}

fn queue(criterion: &mut Criterion) {
    let now = Duration::from_secs(60);
    let ask = |i: u64| Ask {
        priority: [Priority::High, Priority::Medium, Priority::Low][i as usize % 3],
        arrived: now.saturating_sub(Duration::from_millis(i * 7 % 900)),
        within: Duration::from_millis(500),
        needs: Duration::from_millis(40),
    };
    let mut queue = Queue::new(2_048);
    for i in 0..1_000 {
        assert!(queue.push(i, ask(i), now).is_ok(), "there is room");
    }
    let (pool, arrivals) = (Pool::default(), ArrivalRates::default());
    let target = Target::default();
    let outlook = Outlook { choice: None, pool: &pool, target, arrivals: &arrivals, now };
    let mut i = 1_000;
    criterion.bench_function("queue/push, step/1000", |bencher| {
        bencher.iter_batched(
            || {
                i += 1;
                (i, ask(i))
            },
            |(i, ask)| {
                let full = queue.push(i, ask, now);
                (full.is_ok(), queue.step(|_| true, &outlook))
            },
            BatchSize::SmallInput,
        );
    });
}
