//! Planning allocates nothing: what the choice takes lies on the stack, for pools of any size.

use qoe_core::plan::plan;
use qoe_core::plan::policy::Policy;
use qoe_core::plan::policy::Predictive;
use rand::SeedableRng;
use rand::rngs::SmallRng;

#[path = "../benches/plan/cluster.rs"]
mod cluster;

use self::cluster::{Cluster, demand};

#[test]
fn a_predictive_plan_allocates_nothing() {
    let policy = Policy::Predictive(Predictive::default());
    for endpoints in [4, 100, 1_000] {
        let cluster = Cluster::of(endpoints);
        let (scope, demand) = (cluster.scope(&policy), demand());
        let mut rng = SmallRng::seed_from_u64(1);
        let mut planned = None;
        let info = allocation_counter::measure(|| {
            for _ in 0..100 {
                planned = plan(&scope, &demand, &mut rng);
            }
        });
        let choice = planned.expect("there are endpoints");
        assert!(choice.forecast.is_some(), "it forecasts");
        assert_eq!(info.count_total, 0, "allocations in 100 plans over {endpoints} endpoints");
    }
}

#[test]
fn allocations_would_be_counted() {
    let info = allocation_counter::measure(|| drop(std::hint::black_box(vec![1_u64; 100])));
    assert_eq!(info.count_total, 1);
}
