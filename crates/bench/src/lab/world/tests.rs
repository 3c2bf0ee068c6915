use qoe_core::admit::room::OnUnattainable;
use qoe_core::plan::policy::{EndpointPolicy, Policy, Predictive};
use qoe_core::plan::scope::{HandoffMode, HandoffRule};
use qoe_core::target::Target;
use qoe_sim::Profile;

use super::*;
use crate::lab::outcome::{Outcome, REFUSED};
use crate::lab::workload::Workload;
use crate::lab::workload::promises::Promises;

const TARGET: Target = Target { ttft: Duration::from_millis(500), itl: Duration::from_millis(30) };

fn rules(policy: Policy, mode: HandoffMode, queue: usize) -> Rules {
    let handoff = HandoffRule { mode, min_prompt_tokens: 0 };
    Rules { policy, handoff, queue, on_unattainable: OnUnattainable::BestEffort }
}

fn predictive() -> Rules {
    rules(Policy::Predictive(Predictive::default()), HandoffMode::Auto, 500)
}

fn chat(rate: f64) -> Vec<Arrival> {
    Workload::chat().with_promises(Promises::same(TARGET)).generate(20.0, rate, 5)
}

fn four() -> Shape {
    Shape::split(2, 2, &Profile::llama_8b_h100())
}

fn share(run: &Run, of: impl Fn(&Outcome) -> bool) -> f64 {
    run.outcomes.iter().filter(|outcome| of(outcome)).count() as f64 / run.outcomes.len() as f64
}

#[test]
fn one_seed_gives_one_run() {
    let arrivals = chat(20.0);
    let run = play(&four(), &predictive(), &arrivals, 3);
    assert_eq!(run, play(&four(), &predictive(), &arrivals, 3));
    assert_ne!(run, play(&four(), &predictive(), &arrivals, 4), "another seed, other chances");
}

#[test]
fn everybody_is_served_and_tokens_are_conserved() {
    let arrivals = chat(20.0);
    for rules in [
        predictive(),
        rules(EndpointPolicy::RoundRobin.into(), HandoffMode::Always, 0),
        rules(EndpointPolicy::LeastRequest.into(), HandoffMode::Never, 0),
    ] {
        let run = play(&four(), &rules, &arrivals, 3);
        assert_eq!(run.outcomes.len(), arrivals.len());
        assert!(run.outcomes.iter().all(|outcome| outcome.served), "{rules:?}");
        for (outcome, arrival) in run.outcomes.iter().zip(&arrivals) {
            assert_eq!(outcome.output_tokens, arrival.output_tokens);
            assert!(outcome.ttft.is_some_and(|ttft| ttft > 0.0 && ttft <= outcome.e2e));
        }
        let gaps: u64 = run.gaps.iter().map(|(_, count)| count).sum();
        let expected: u64 = arrivals.iter().map(|a| u64::from(a.output_tokens) - 1).sum();
        assert_eq!(gaps, expected);
    }
}

#[test]
fn static_disaggregation_hands_everything_over_and_spares_streams() {
    let arrivals = chat(20.0);
    let parted = play(
        &four(),
        &rules(EndpointPolicy::RoundRobin.into(), HandoffMode::Always, 0),
        &arrivals,
        3,
    );
    let mixed = play(
        &four().merged(),
        &rules(EndpointPolicy::RoundRobin.into(), HandoffMode::Never, 0),
        &arrivals,
        3,
    );
    assert!((share(&parted, |outcome| outcome.handoff) - 1.0).abs() < 1e-9);
    let longest = |run: &Run| run.gaps.last().map_or(0.0, |(bound, _)| *bound);
    assert!(longest(&parted) < 0.5 * longest(&mixed), "{} {}", longest(&parted), longest(&mixed));
}

#[test]
fn who_shares_a_beginning_finds_it_cached() {
    let arrivals = Workload::agents().generate(10.0, 20.0, 5);
    let run = play(&four(), &predictive(), &arrivals, 3);
    let sum = |of: fn(&Outcome) -> u32| run.outcomes.iter().map(|o| f64::from(of(o))).sum::<f64>();
    assert!(sum(|o| o.cached_tokens) > 0.7 * sum(|o| o.prompt_tokens));
}

#[test]
fn an_endpoint_that_dies_costs_only_the_streams_it_had() {
    let dying = four().with_death(3, Duration::from_secs(8), Duration::from_secs(14));
    let run = play(&dying, &predictive(), &chat(20.0), 3);
    let lost = share(&run, |outcome| !outcome.served);
    assert!(lost > 0.0 && lost < 0.1, "{lost}");
    assert!(run.outcomes.iter().filter(|o| !o.served).all(|o| o.output_tokens > 0));
}

#[test]
fn high_priority_is_better_off_under_overload_and_low_does_not_starve() {
    let arrivals = Workload::chat().generate(30.0, 130.0, 5);
    let run = play(&four(), &Rules { queue: 100_000, ..predictive() }, &arrivals, 3);
    let met = |priority| {
        let some = || run.outcomes.iter().filter(|o| o.priority == priority);
        some().filter(|o| o.sla_met).count() as f64 / some().count() as f64
    };
    use qoe_core::request::analyze::Priority::{High, Low, Medium};
    let met = [High, Medium, Low].map(met);
    assert!(met[0] > 0.95 && met[0] > met[1] + 0.02 && met[1] > met[2] + 0.2, "{met:?}");
    assert!(run.outcomes.iter().filter(|o| o.priority == Low).all(|o| o.served), "late, not never");
}

#[test]
fn a_full_queue_refuses_the_lowest() {
    use qoe_core::request::analyze::Priority::{High, Low};
    let arrivals = Workload::chat().generate(20.0, 200.0, 5);
    let run = play(&four(), &Rules { queue: 50, ..predictive() }, &arrivals, 3);
    let refused = |priority| {
        let of = |o: &&Outcome| o.priority == priority;
        let some = run.outcomes.iter().filter(of).filter(|o| o.reason == REFUSED).count();
        some as f64 / run.outcomes.iter().filter(of).count() as f64
    };
    assert!(refused(Low) > 0.3 && refused(High) < 0.1, "{} {}", refused(Low), refused(High));
}

#[test]
fn where_the_route_says_so_those_that_cannot_be_in_time_are_refused() {
    let arrivals = Workload::chat().generate(20.0, 130.0, 5);
    let of = |on_unattainable| {
        let rules = Rules { queue: 100_000, on_unattainable, ..predictive() };
        play(&four(), &rules, &arrivals, 3)
    };
    let (reject, best_effort) = (of(OnUnattainable::Reject), of(OnUnattainable::BestEffort));
    let refused = |run: &Run| share(run, |outcome| outcome.reason == REFUSED);
    assert_eq!(refused(&best_effort), 0.0);
    assert!(refused(&reject) > 0.01, "{}", refused(&reject));
    let late = |run: &Run| share(run, |outcome| outcome.served && !outcome.sla_met);
    assert!(late(&reject) < late(&best_effort), "{} {}", late(&reject), late(&best_effort));
}

#[test]
fn retries_end_with_the_budget() {
    let dead = |shape: Shape, node| shape.with_death(node, Duration::from_secs(2), PATIENCE);
    let shape = (0..4).fold(four(), dead);
    let run = play(
        &shape,
        &rules(EndpointPolicy::RoundRobin.into(), HandoffMode::Never, 0),
        &chat(200.0),
        3,
    );
    let later = || run.outcomes.iter().filter(|outcome| outcome.at > Duration::from_secs(3));
    assert!(later().all(|outcome| !outcome.served));
    // One attempt takes twice the network's time. 50 extra attempts are earned a second, for 200 requests that would
    // each take three.
    let one_attempt = (shape.network * 2).as_secs_f64() + 1e-9;
    let once = later().filter(|outcome| outcome.e2e <= one_attempt).count() as f64;
    let share = once / later().count() as f64;
    assert!((0.6..0.95).contains(&share), "{share}");
}
