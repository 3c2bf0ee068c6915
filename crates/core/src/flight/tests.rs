use std::sync::Arc;

use super::*;
use crate::endpoint::tests::endpoint;
use crate::phase::Role;
use crate::speed::work::StreamLoad;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(10_000 + ms)
}

const CARGO: Cargo =
    Cargo { prompt_tokens: 1000, output_tokens: 100.0, block_tokens: 256.0, streamed: true };

fn pair() -> (Arc<EndpointState>, Arc<EndpointState>, RouteMemory) {
    let state = |name, role| endpoint(name, role).state;
    (state("p", Role::Prefill), state("d", Role::Decoding), RouteMemory::default())
}

fn held(state: &EndpointState) -> (u32, u64, f64, f64) {
    let later = ms(60_000);
    let wait = state.pace.prompts.wait(later) + state.pace.transfers.wait(later);
    (state.ledger.in_flight_all(), state.ledger.unread(), state.ledger.stream_load().streams, wait)
}

const NOTHING: (u32, u64, f64, f64) = (0, 0, 0.0, 0.0);

#[test]
fn a_handoff_holds_each_endpoint_for_as_long_as_it_works() {
    let (p, d, memory) = pair();
    let mut flight = Flight::new(Target::default(), CARGO, ms(0));
    let forecast = Forecast { ttft: 0.1, itl: 0.02, moved: 1000.0, ..Forecast::default() };
    flight.planned(Some(&p), &d, Some(forecast), &[11, 12, 13], &memory, ms(0));
    flight.prefill_sent(ms(0));
    assert_eq!(
        (p.ledger.in_flight_all(), p.ledger.unread(), d.ledger.in_flight_all(), d.ledger.unread()),
        (1, 1000, 1, 0)
    );
    assert_eq!(memory.prefixes().held(&[11, 12], []).some.len(), 2, "both will have the prompt");
    flight.prefill_done(&p, &memory, ms(40));
    assert_eq!(held(&p), NOTHING);
    flight.sent(&memory, ms(41));
    assert!(d.pace.transfers.wait(ms(41)) > 0.0, "its KV is on its way");
    let first = flight.streamed(1, &memory, ms(125));
    assert_eq!(first.ttft, Some(Duration::from_millis(125)));
    assert!((first.ttft_error.expect("forecast") - 0.2).abs() < 1e-9);
    assert!((d.ledger.stream_load().streams, d.ledger.stream_load().tokens) == (1.0, 1050.0));
    assert!(flight.streamed(2, &memory, ms(165)).gap.is_some_and(|gap| (gap - 0.02).abs() < 1e-9));
    assert!(flight.answered(&memory, ms(165)).is_some_and(|error| error < 1e-9));
    flight.release();
    assert_eq!(held(&d), NOTHING);
}

#[test]
fn what_is_told_is_corrected_by_how_far_the_last_forecasts_were_off() {
    let (_, d, memory) = pair();
    let forecast = Forecast { ttft: 0.1, itl: 0.02, ..Forecast::default() };
    let one = || {
        let mut flight = Flight::new(Target::default(), CARGO, ms(0));
        flight.planned(None, &d, Some(forecast), &[], &memory, ms(0));
        flight.sent(&memory, ms(0));
        let ttft_error = flight.streamed(1, &memory, ms(150)).ttft_error;
        flight.streamed(10, &memory, ms(250));
        (
            ttft_error.unwrap(),
            flight.answered(&memory, ms(250)).unwrap(),
            flight.forecast().unwrap(),
        )
    };
    let (ttft, itl, told) = one();
    assert_eq!(told, forecast);
    assert!((ttft - 1.0 / 3.0).abs() < 1e-9 && (itl - 1.0).abs() < 1e-9, "{ttft} {itl}");
    for _ in 0..200 {
        one();
    }
    let (ttft, itl, told) = one();
    assert!(ttft < 0.01 && itl < 0.01, "{ttft} {itl} {told:?}");
    let whole = [memory.ttft_bias[0].factor(), memory.ttft_bias[1].factor()];
    assert!((whole[0] - 1.5).abs() < 0.01 && whole[1] == 1.0, "handoffs are another thing");
}

#[test]
fn dropped_at_any_moment_it_gives_back_all_that_it_holds() {
    for step in 0..5 {
        let (p, d, memory) = pair();
        let mut flight = Flight::new(Target::default(), CARGO, ms(0));
        let steps: [&dyn Fn(&mut Flight); 4] = [
            &|flight| flight.planned(Some(&p), &d, None, &[], &memory, ms(0)),
            &|flight| flight.prefill_done(&p, &memory, ms(40)),
            &|flight| flight.sent(&memory, ms(41)),
            &|flight| {
                flight.streamed(1, &memory, ms(90));
            },
        ];
        steps.iter().take(step).for_each(|step| step(&mut flight));
        drop(flight);
        assert_eq!((held(&p), held(&d)), (NOTHING, NOTHING), "after {step} steps");
    }
}

#[test]
fn a_second_plan_frees_the_first() {
    let (p, d, memory) = pair();
    let mut flight = Flight::new(Target::default(), CARGO, ms(0));
    flight.planned(Some(&p), &d, None, &[], &memory, ms(0));
    flight.planned(None, &d, None, &[], &memory, ms(10));
    assert_eq!((held(&p), d.ledger.in_flight_all(), d.ledger.unread()), (NOTHING, 1, 1000));
}

#[test]
fn an_answer_in_one_piece_does_not_leave_a_prompt_that_is_never_read() {
    let (_, d, memory) = pair();
    let cargo = Cargo { streamed: false, ..CARGO };
    let mut flight = Flight::new(Target::default(), cargo, ms(0));
    flight.planned(None, &d, None, &[], &memory, ms(0));
    assert!(d.pace.prompts.wait(ms(0)) > 0.0);
    assert!(d.pace.prompts.wait(ms(5000)) < 1e-9, "it was read long ago, seen or not");
}

#[test]
fn what_streams_tell_is_learned() {
    let (_, d, memory) = pair();
    let mut flight = Flight::new(Target::default(), CARGO, ms(0));
    flight.planned(None, &d, None, &[], &memory, ms(0));
    flight.sent(&memory, ms(0));
    for token in 0..400 {
        flight.streamed(1, &memory, ms(50 + 12 * token));
    }
    let step = memory.models.speed().step(d.ledger.stream_load());
    assert!((step - 0.012).abs() < 0.001, "{step}");
    assert!(d.signals.itl.get(ms(4850)).is_some_and(|itl| (itl.value - 0.012).abs() < 1e-3));
    flight.answered(&memory, ms(4850));
    (0..8).for_each(|_| memory.lengths.learn(1000, 400));
    assert!((memory.lengths.expected(1000, None, None) - 400.0).abs() < 1.0);
}

#[test]
fn streams_too_short_for_a_second_look_are_learned_from_too() {
    let (_, d, memory) = pair();
    for stream in 0..20 {
        let begin = 1000 * stream;
        let mut flight = Flight::new(Target::default(), CARGO, ms(begin));
        flight.planned(None, &d, None, &[], &memory, ms(begin));
        flight.sent(&memory, ms(begin));
        for token in 0..40 {
            flight.streamed(1, &memory, ms(begin + 50 + 3 * token));
        }
        flight.answered(&memory, ms(begin + 900));
    }
    let step = memory.models.speed().step(StreamLoad { streams: 1.0, tokens: 1050.0 });
    assert!((step - 0.003).abs() < 0.0005, "{step}");
}
