use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::endpoint::tests::endpoint;
use crate::phase::{Phase, Role};

const NOW: Duration = Duration::from_secs(100);

fn pool(n: usize) -> Vec<Endpoint> {
    (0..n).map(|i| endpoint(&format!("e{i}"), Role::Mixed)).collect()
}

fn occasion(phase: Phase) -> Occasion<'static> {
    Occasion { depths: &[], blocks: 0, phase, reads: true, expected_output_tokens: None, now: NOW }
}

fn pick(policy: EndpointPolicy, pool: &[Endpoint], occasion: Occasion) -> usize {
    let all: Vec<_> = (0..pool.len()).collect();
    let mut rng = SmallRng::seed_from_u64(7);
    policy.pick(pool, &all, occasion, &Turns::default(), &mut rng).expect("there are candidates")
}

#[test]
fn round_robin_takes_turns_in_each_phase() {
    let pool = pool(3);
    let turns = Turns::default();
    let mut rng = SmallRng::seed_from_u64(1);
    let mut next = |phase| {
        EndpointPolicy::RoundRobin.pick(&pool, &[0, 1, 2], occasion(phase), &turns, &mut rng)
    };
    let taken: Vec<_> = (0..4).filter_map(|_| next(Phase::Prefill)).collect();
    assert_eq!(taken, [0, 1, 2, 0]);
    assert_eq!(next(Phase::Decoding), Some(0), "the other phase has its own turn");
}

#[test]
fn least_request_takes_the_idlest_and_spreads_ties() {
    let pool = pool(4);
    let _busy: Vec<_> = (0..2).map(|_| pool[2].state.hold(Phase::Decoding, 1)).collect();
    let mut rng = SmallRng::seed_from_u64(3);
    let mut seen = [0; 4];
    for _ in 0..400 {
        let i = EndpointPolicy::LeastRequest
            .pick(&pool, &[0, 1, 2, 3], occasion(Phase::Decoding), &Turns::default(), &mut rng)
            .expect("candidates");
        seen[i] += 1;
    }
    assert_eq!(seen[2], 0);
    assert!([0, 1, 3].iter().all(|&i| seen[i] > 80), "ties are spread: {seen:?}");
}

#[test]
fn power_of_two_never_takes_the_worse_of_two_and_uses_all() {
    let pool = pool(3);
    let _holds: Vec<_> = (0..5).map(|_| pool[0].state.hold(Phase::Decoding, 1)).collect();
    let mut rng = SmallRng::seed_from_u64(5);
    let mut seen = [0; 3];
    for _ in 0..300 {
        let all = [0, 1, 2];
        let chosen = EndpointPolicy::PowerOfTwo.pick(
            &pool,
            &all,
            occasion(Phase::Decoding),
            &Turns::default(),
            &mut rng,
        );
        seen[chosen.expect("candidates")] += 1;
    }
    assert_eq!(seen[0], 0, "the busiest loses every draw");
    assert!(seen[1] > 80 && seen[2] > 80, "{seen:?}");
}

#[test]
fn weighted_prefill_is_the_published_sum() {
    let pool = pool(1);
    pool[0].state.signals.ttft.set(0.6, NOW);
    pool[0].state.signals.prefix_hit_rate.set(0.25, NOW);
    let _holds: Vec<_> = (0..5).map(|_| pool[0].state.hold(Phase::Prefill, 1)).collect();
    let neutral = Neutral::of(&pool, &[0], NOW);
    let score = Weights::default().score(&pool[0].state, &neutral, occasion(Phase::Prefill));
    assert!((score - (0.5 * 2.0 + 0.3 * 0.75 + 0.2 * 0.5)).abs() < 1e-6, "{score}");
}

#[test]
fn weighted_decoding_is_the_published_sum_and_shifts_for_long_outputs() {
    let pool = pool(1);
    pool[0].state.signals.itl.set(0.1, NOW);
    let _holds: Vec<_> = (0..3).map(|_| pool[0].state.hold(Phase::Decoding, 1)).collect();
    let neutral = Neutral::of(&pool, &[0], NOW);
    let tps = 1.0 - 10.0 / 30.0;
    let score = Weights::default().score(&pool[0].state, &neutral, occasion(Phase::Decoding));
    assert!((score - (0.6 * 2.0 + 0.3 * tps + 0.1 * 0.2)).abs() < 1e-6, "{score}");
    let long = Occasion { expected_output_tokens: Some(1001), ..occasion(Phase::Decoding) };
    let score = Weights::default().score(&pool[0].state, &neutral, long);
    assert!((score - (0.5 * 2.0 + 0.4 * tps + 0.1 * 0.2)).abs() < 1e-6, "{score}");
}

#[test]
fn weighted_does_not_saturate_under_overload() {
    let pool = pool(2);
    let _a: Vec<_> = (0..200).map(|_| pool[0].state.hold(Phase::Prefill, 1)).collect();
    let _b: Vec<_> = (0..100).map(|_| pool[1].state.hold(Phase::Prefill, 1)).collect();
    assert_eq!(
        pick(EndpointPolicy::Weighted(Weights::default()), &pool, occasion(Phase::Prefill)),
        1
    );
}

#[test]
fn an_unknown_signal_is_neutral() {
    let pool = pool(3);
    pool[0].state.signals.ttft.set(0.2, NOW);
    pool[1].state.signals.ttft.set(0.8, NOW);
    let neutral = Neutral::of(&pool, &[0, 1, 2], NOW);
    let score =
        |i: usize| Weights::default().score(&pool[i].state, &neutral, occasion(Phase::Prefill));
    assert!(score(0) < score(2) && score(2) < score(1), "between the known ones");
}

#[test]
fn a_slow_endpoint_is_tried_again_once_its_evidence_has_faded() {
    let pool = pool(2);
    pool[0].state.signals.ttft.set(5.0, Duration::ZERO);
    let later = Occasion { now: Duration::from_secs(300), ..occasion(Phase::Prefill) };
    pool[1].state.signals.ttft.set(0.2, later.now);
    let neutral = Neutral::of(&pool, &[0, 1], later.now);
    let [a, b] = [0, 1].map(|i| Weights::default().score(&pool[i].state, &neutral, later));
    assert!((a - b).abs() < 1e-3, "{a} {b}");
}

#[test]
fn prefix_affinity_goes_to_who_holds_the_prompt_while_load_is_even() {
    let pool = [endpoint("a", Role::Mixed), endpoint("b", Role::Mixed)];
    let depths = [0, 6];
    let occasion =
        |reads, blocks| Occasion { depths: &depths, blocks, reads, ..occasion(Phase::Decoding) };
    let _one = pool[1].state.hold(Phase::Decoding, 1);
    assert_eq!(pick(EndpointPolicy::PrefixAffinity, &pool, occasion(true, 8)), 1);
    assert_eq!(
        pick(EndpointPolicy::PrefixAffinity, &pool, occasion(true, 12)),
        0,
        "half of it is too little"
    );
    assert_eq!(
        pick(EndpointPolicy::PrefixAffinity, &pool, occasion(false, 8)),
        0,
        "nothing is read"
    );
    let _many: Vec<_> = (0..40).map(|_| pool[1].state.hold(Phase::Decoding, 1)).collect();
    assert_eq!(pick(EndpointPolicy::PrefixAffinity, &pool, occasion(true, 8)), 0, "load is uneven");
}
