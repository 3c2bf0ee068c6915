use super::*;

const fn s(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

const fn capacity(ready: u32, pending: u32) -> Capacity {
    Capacity { ready, pending }
}

const TTFT: Goal = Goal { target: Duration::from_millis(500), min: 1, max: 8 };
const ITL: Goal = Goal { target: Duration::from_millis(50), min: 1, max: 8 };

/// 10,000 tokens a second; prompts of 1,000, so that 0.4 of the 0.5 seconds remain for waiting.
fn prompts(unread_tokens: f64) -> PrefillSeen {
    PrefillSeen {
        unread_tokens,
        tokens_per_second: Some(10_000.0),
        prompt_tokens: Some(1000.0),
        ttft: Some(0.2),
    }
}

fn kv(kv_use: f64) -> DecodingSeen {
    DecodingSeen { kv_use: Some(kv_use), itl: Some(0.02) }
}

fn hint(desired: u32, reason: ScaleReason) -> Hint {
    Hint { desired, reason }
}

#[test]
fn prefill_is_backlog_by_speed_and_by_what_the_target_leaves() {
    for (unread, desired, reason) in [
        (0.0, 2, ScaleReason::CoolingDown),
        (6_000.0, 2, ScaleReason::Steady),
        (8_000.0, 2, ScaleReason::Steady),
        (8_100.0, 3, ScaleReason::PromptBacklog),
        (20_000.0, 5, ScaleReason::PromptBacklog),
        (90_000.0, 8, ScaleReason::AtMaximum),
    ] {
        let got = Scaler::default().prefill(Some(&prompts(unread)), capacity(2, 0), TTFT, s(0));
        assert_eq!(got, hint(desired, reason), "{unread}");
    }
}

#[test]
fn a_prompt_that_takes_longer_than_the_target_leaves_a_tenth_of_it() {
    let long = PrefillSeen { prompt_tokens: Some(50_000.0), ..prompts(1_000.0) };
    let got = Scaler::default().prefill(Some(&long), capacity(1, 0), TTFT, s(0));
    assert_eq!(got, hint(2, ScaleReason::PromptBacklog), "0.1 s of work in 0.05 s");
}

#[test]
fn decoding_is_kv_in_use_by_what_is_full() {
    for (used, desired, reason) in [
        (0.8, 4, ScaleReason::Steady),
        (0.81, 5, ScaleReason::KvPressure),
        (1.0, 5, ScaleReason::KvPressure),
        (0.72, 4, ScaleReason::Steady),
        (0.3, 4, ScaleReason::CoolingDown),
    ] {
        let got = Scaler::default().decoding(Some(&kv(used)), capacity(4, 0), ITL, s(0));
        assert_eq!(got, hint(desired, reason), "{used}");
    }
}

#[test]
fn a_broken_promise_asks_for_one_more_and_whoever_is_on_its_way_is_that_one() {
    let slow = DecodingSeen { itl: Some(0.06), ..kv(0.2) };
    let decode = |pending| Scaler::default().decoding(Some(&slow), capacity(3, pending), ITL, s(0));
    assert_eq!(decode(0), hint(4, ScaleReason::ItlAboveTarget));
    assert_eq!(decode(1), hint(4, ScaleReason::Steady), "it is pending already");
    let late = PrefillSeen { ttft: Some(0.6), ..prompts(0.0) };
    let got = Scaler::default().prefill(Some(&late), capacity(3, 0), TTFT, s(0));
    assert_eq!(got, hint(4, ScaleReason::TtftAboveTarget));
}

#[test]
fn what_is_not_known_holds() {
    let mut scaler = Scaler::default();
    assert_eq!(scaler.prefill(None, capacity(3, 0), TTFT, s(0)), hint(3, ScaleReason::NoData));
    scaler.prefill(Some(&prompts(20_000.0)), capacity(3, 0), TTFT, s(1));
    let cold = PrefillSeen { tokens_per_second: None, ..prompts(5_000.0) };
    assert_eq!(
        scaler.prefill(Some(&cold), capacity(3, 0), TTFT, s(2)),
        hint(5, ScaleReason::NoData),
        "work, and nobody knows how fast it goes"
    );
    let silent = DecodingSeen { kv_use: None, itl: None };
    let got = Scaler::default().decoding(Some(&silent), capacity(2, 1), ITL, s(0));
    assert_eq!(got, hint(3, ScaleReason::NoData));
    let got = Scaler::default().decoding(None, capacity(0, 0), ITL, s(0));
    assert_eq!(got, hint(1, ScaleReason::NoData), "within the bounds also then");
}

#[test]
fn what_is_there_when_the_first_load_is_seen_is_where_it_begins() {
    let mut scaler = Scaler::default();
    assert_eq!(scaler.decoding(None, capacity(0, 0), ITL, s(0)), hint(1, ScaleReason::NoData));
    let got = scaler.decoding(Some(&kv(0.1)), capacity(4, 0), ITL, s(1));
    assert_eq!(got, hint(4, ScaleReason::CoolingDown));
}

#[test]
fn it_goes_down_after_a_while_and_to_the_most_that_was_needed_meanwhile() {
    let mut scaler = Scaler::default();
    let mut at = |second, used| scaler.decoding(Some(&kv(used)), capacity(8, 0), ITL, s(second));
    assert_eq!(at(0, 0.8), hint(8, ScaleReason::Steady));
    assert_eq!(at(100, 0.2), hint(8, ScaleReason::CoolingDown));
    assert_eq!(at(200, 0.5), hint(8, ScaleReason::CoolingDown));
    assert_eq!(at(300, 0.2), hint(8, ScaleReason::CoolingDown));
    assert_eq!(at(399, 0.2), hint(8, ScaleReason::CoolingDown));
    let Hint { desired, reason } = at(400, 0.2);
    assert_eq!(reason, ScaleReason::Underused);
    assert_eq!(desired, 6, "0.5 × 8 ÷ 0.8 = 5, and room to spare");
    assert_eq!(at(401, 0.2).desired, 6, "the next step waits again");
}

#[test]
fn silence_does_not_count_as_time_in_which_fewer_would_have_done() {
    let mut scaler = Scaler::default();
    scaler.decoding(Some(&kv(0.1)), capacity(4, 0), ITL, s(0));
    scaler.decoding(None, capacity(4, 0), ITL, s(250));
    let got = scaler.decoding(Some(&kv(0.1)), capacity(4, 0), ITL, s(301));
    assert_eq!(got, hint(4, ScaleReason::CoolingDown));
}

#[test]
fn a_load_between_two_sizes_does_not_oscillate() {
    let mut scaler = Scaler::default();
    let mut ready = 2;
    let mut changes = 0;
    // Demand of 1.6 endpoints' KV at 80 %, give or take a tenth, for an hour.
    for second in 0..3600_u32 {
        let demand = 1.6 * (1.0 + 0.1 * (f64::from(second) / 7.0).sin());
        let seen = kv((demand * KV_FULL / f64::from(ready)).min(1.0));
        let hint = scaler.decoding(Some(&seen), capacity(ready, 0), ITL, s(u64::from(second)));
        changes += u32::from(hint.desired != ready);
        ready = hint.desired;
    }
    assert!(changes <= 1, "{changes} changes");
    assert_eq!(ready, 2);
}

proptest::proptest! {
    #[test]
    fn a_hint_is_always_within_its_bounds(
        unread in -1.0..1e12_f64,
        speed in proptest::option::of(0.0..1e9_f64),
        kv in proptest::option::of(0.0..1.5_f64),
        ready in 0..100_u32,
        pending in 0..100_u32,
    ) {
        let mut scaler = Scaler::default();
        let prefill = PrefillSeen { unread_tokens: unread, tokens_per_second: speed, prompt_tokens: None, ttft: None };
        let decoding = DecodingSeen { kv_use: kv, itl: None };
        for second in [0, 1, 400, 800] {
            let p = scaler.prefill(Some(&prefill), capacity(ready, pending), TTFT, s(second));
            proptest::prop_assert!((TTFT.min..=TTFT.max).contains(&p.desired), "{p:?}");
            let d = Scaler::default().decoding(Some(&decoding), capacity(ready, pending), ITL, s(second));
            proptest::prop_assert!((ITL.min..=ITL.max).contains(&d.desired), "{d:?}");
        }
    }
}
