use proptest::prelude::*;
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};

use super::*;
use crate::estimate::likeness::Likeness;

fn taught(truth: [f64; 3], noise: f64, samples: usize) -> Learner<3> {
    let learner = Learner::new([1.0, 1.0, 1.0]);
    let mut rng = SmallRng::seed_from_u64(7);
    for _ in 0..samples {
        let x = [1.0, rng.random_range(0.0..8.0), rng.random_range(0.0..30.0)];
        let y = predict(&truth, &x) * rng.random_range(1.0 - noise..=1.0 + noise);
        learner.learn(&x, y);
    }
    learner
}

#[test]
fn it_finds_the_model_behind_noisy_samples() {
    let learner = taught([0.01, 0.02, 0.001], 0.1, 300);
    let found = learner.coefficients().expect("enough samples");
    for x in [[1.0, 0.5, 1.0], [1.0, 8.0, 30.0]] {
        let truth = predict(&[0.01, 0.02, 0.001], &x);
        assert!((predict(&found, &x) / truth - 1.0).abs() < 0.08, "{found:?}");
    }
    assert!(learner.error().expect("taught") < 0.12);
}

#[test]
fn it_is_not_believed_before_it_has_seen_some() {
    assert_eq!(taught([0.01, 0.02, 0.001], 0.0, 5).coefficients(), None);
    assert!(taught([0.01, 0.02, 0.001], 0.0, 6).coefficients().is_some());
}

/// Median of how far the forecasts for one feature are off, where `y` gives what is measured at each sample.
fn median_off(learner: &Learner<1>, samples: u32, y: impl Fn(u32) -> f64) -> f64 {
    let mut off = Vec::new();
    for i in 0..samples {
        let forecast = predict(&learner.latest(), &[1.0]);
        off.push((forecast / y(i) - 1.0).abs());
        learner.learn(&[1.0], y(i));
    }
    let mut settled = off.split_off(off.len() / 2);
    settled.sort_by(f64::total_cmp);
    settled[settled.len() / 2]
}

#[test]
fn a_few_that_are_stalled_do_not_make_all_others_look_slow() {
    let learner = Learner::new([0.01]);
    let off = median_off(&learner, 400, |i| if i % 8 == 0 { 0.03 } else { 0.003 });
    assert!(off < 0.1, "{off}");
}

#[test]
fn what_drifts_is_followed_within_a_few_samples() {
    let spells = |i: u32| if (i / 20).is_multiple_of(2) { 0.002 } else { 0.0032 };
    let steady = median_off(&Learner::new([0.01]), 400, spells);
    let drifting = median_off(&Learner::new([0.01]).drifting(), 400, spells);
    assert!(drifting < 0.1 && drifting < steady / 2.0, "{drifting} {steady}");
}

#[test]
fn it_follows_an_engine_that_became_slower() {
    let learner = taught([0.01, 0.02, 0.0], 0.05, 500);
    let mut rng = SmallRng::seed_from_u64(8);
    for _ in 0..400 {
        let x = [1.0, rng.random_range(0.0..8.0), 0.0];
        learner.learn(&x, 3.0 * predict(&[0.01, 0.02, 0.0], &x));
    }
    let x = [1.0, 4.0, 0.0];
    let found = predict(&learner.latest(), &x);
    assert!((found / (3.0 * 0.09) - 1.0).abs() < 0.1, "{found}");
}

/// A model of two features, of an endpoint that takes `times` what the others take.
fn alike(times: f64, samples: u32) -> ([f64; 2], [f64; 2]) {
    let common = Learner::new([0.01, 0.02]);
    let (one, other) = (Likeness::new([0.01, 0.02]), Likeness::new([0.01, 0.02]));
    for i in 0..samples {
        let x = [1.0, f64::from(i % 7)];
        let y = predict(&[0.01, 0.03], &x);
        (0..7).for_each(|_| other.learn(&common, &x, y));
        let noise = if i % 2 == 0 { 0.9 } else { 1.1 };
        one.learn(&common, &x, y * times * noise);
    }
    let common = common.latest();
    (one.coefficients(&common), common)
}

#[test]
fn who_is_about_as_fast_as_the_others_is_taken_for_one_of_them() {
    let (one, common) = alike(1.1, 200);
    assert_eq!(one, common);
}

#[test]
fn who_is_clearly_slower_is_known_to_be() {
    let (one, common) = alike(2.0, 200);
    let x = [1.0, 3.0];
    let times = predict(&one, &x) / predict(&[0.01, 0.03], &x);
    assert!((1.8..2.2).contains(&times), "{times} {one:?} {common:?}");
}

proptest! {
    #[test]
    fn whatever_is_measured_costs_stay_finite_and_never_negative(
        samples in prop::collection::vec((0.0..1e4_f64, 0.0..1e6_f64, 0.0..1e3_f64), 1..300)
    ) {
        let learner = Learner::new([0.01, 0.02, 0.001]);
        for (a, b, y) in samples {
            learner.learn(&[1.0, a, b], y);
        }
        prop_assert!(learner.latest().iter().all(|c| c.is_finite() && *c >= 0.0));
    }
}
