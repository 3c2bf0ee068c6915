//! The engine alone, in virtual time.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::engine::request::{
    AddError, Event, Finish, Prompt, Reason, Request, RequestId, Source, Time,
};
use crate::text::{Chain, tokenize};

fn prompt(tokens: u32, seed: u64) -> Prompt {
    let tokens: Vec<u64> = (0..tokens).map(|n| u64::from(n) * 31 + seed).collect();
    Prompt::of(&tokens, 16)
}

fn engine(change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let profile = Profile::llama_8b_h100();
    let mut config = EngineConfig::of(&profile);
    change(&mut config);
    Engine::new(profile, config)
}

/// Runs until nothing is left to do; returns all events with their times.
fn drain(engine: &mut Engine, from: Time) -> Vec<(Time, Event)> {
    let mut seen = Vec::new();
    let mut now = from;
    for _ in 0..1_000_000 {
        match engine.begin_step(now) {
            Some(end) => now = end,
            None => match engine.wakes_at() {
                Some(wake) if engine.waiting().0 > 0 => {
                    now = wake.max(now);
                    continue;
                }
                _ => return seen,
            },
        }
        let mut events = Vec::new();
        engine.finish_step(&mut events);
        seen.extend(events.into_iter().map(|event| (now, event)));
    }
    panic!("the engine does not come to an end");
}

fn tokens_of(events: &[(Time, Event)], of: RequestId) -> Vec<(Time, u64)> {
    let tokens = events.iter().filter_map(|(time, event)| match event {
        Event::Token { id, token } if *id == of => Some((*time, *token)),
        _ => None,
    });
    tokens.collect()
}

fn add(engine: &mut Engine, id: RequestId, prompt: Prompt, max_tokens: u32) {
    engine.add(Time::ZERO, Request::new(id, prompt, max_tokens)).unwrap();
}

#[test]
fn a_lone_request_takes_what_the_profile_says() {
    let mut engine = engine(|_| {});
    add(&mut engine, 1, prompt(2048, 0), 3);
    let events = drain(&mut engine, Time::ZERO);
    let times: Vec<f64> = tokens_of(&events, 1).iter().map(|(t, _)| t.as_secs_f64()).collect();
    assert!((0.040..0.047).contains(&times[0]), "{times:?}");
    assert!((0.005..0.008).contains(&(times[2] - times[1])), "{times:?}");
    assert!(matches!(events[0].1, Event::PrefillDone { id: 1, .. }));
    let end = Finish { reason: Reason::Length, leased: None };
    assert_eq!(events.last().unwrap().1, Event::Finished { id: 1, finish: end });
}

#[test]
fn a_prompt_beside_a_stream_delays_its_tokens() {
    let longest_gap = |beside: bool| {
        let mut engine = engine(|_| {});
        add(&mut engine, 1, prompt(64, 0), 20);
        let mut events = Vec::new();
        let end = engine.begin_step(Time::ZERO).unwrap();
        engine.finish_step(&mut events);
        let mut seen: Vec<_> = events.into_iter().map(|event| (end, event)).collect();
        if beside {
            engine.add(end, Request::new(2, prompt(8000, 9), 1)).unwrap();
        }
        seen.extend(drain(&mut engine, end));
        let times = tokens_of(&seen, 1);
        assert_eq!(times.len(), 20);
        times.windows(2).map(|pair| pair[1].0 - pair[0].0).max().unwrap()
    };
    assert!(longest_gap(false) < Time::from_millis(8), "{:?}", longest_gap(false));
    assert!(longest_gap(true) > Time::from_millis(150), "{:?}", longest_gap(true));
}

#[test]
fn long_prompts_are_computed_in_chunks() {
    let mut engine = engine(|config| config.max_batched_tokens = 1000);
    add(&mut engine, 1, prompt(3500, 0), 1);
    let mut now = Time::ZERO;
    let mut steps = 0;
    let mut events = Vec::new();
    while let Some(end) = engine.begin_step(now) {
        engine.finish_step(&mut events);
        (now, steps) = (end, steps + 1);
    }
    assert_eq!(steps, 4);
}

#[test]
fn the_prefix_cache_saves_all_but_the_last_block() {
    let mut engine = engine(|_| {});
    add(&mut engine, 1, prompt(160, 0), 2);
    drain(&mut engine, Time::ZERO);
    add(&mut engine, 2, prompt(160, 0), 2);
    let events = drain(&mut engine, Time::from_secs(1));
    let Event::PrefillDone { prefilled, .. } = events[0].1 else { panic!("{events:?}") };
    assert_eq!(prefilled.cached, 144, "the last token has to be computed");
    assert_eq!(engine.stats().prefix_cache_hits, 144);
    engine.reset_prefix_cache();
    add(&mut engine, 3, prompt(160, 0), 2);
    drain(&mut engine, Time::from_secs(2));
    assert_eq!(engine.stats().prefix_cache_hits, 144);
}

#[test]
fn an_answer_is_cached_for_the_next_turn() {
    let mut engine = engine(|_| {});
    let first = tokenize(&"word ".repeat(40));
    add(&mut engine, 1, Prompt::of(&first, 16), 40);
    let events = drain(&mut engine, Time::ZERO);
    let answer = tokens_of(&events, 1).into_iter().map(|(_, token)| token);
    let next: Vec<u64> = first.iter().copied().chain(answer).chain([7; 20]).collect();
    add(&mut engine, 2, Prompt::of(&next, 16), 1);
    drain(&mut engine, Time::from_secs(1));
    let hits = engine.stats().prefix_cache_hits;
    assert!(hits as usize > first.len(), "{hits}");
}

#[test]
fn the_newest_is_preempted_and_its_text_stays_the_same() {
    let run = |blocks: u32| {
        let mut engine = engine(|config| config.kv_blocks = blocks);
        add(&mut engine, 1, prompt(100, 1), 200);
        add(&mut engine, 2, prompt(100, 2), 200);
        let events = drain(&mut engine, Time::ZERO);
        let words = |id| tokens_of(&events, id).into_iter().map(|t| t.1).collect::<Vec<_>>();
        (words(1), words(2), engine.stats().preemptions, engine.pool().held())
    };
    let (one, two, none, _) = run(1000);
    let (one_short, two_short, preemptions, held) = run(25);
    assert_eq!((none, held), (0, 0));
    assert!(preemptions > 0);
    assert_eq!((one, two), (one_short, two_short));
}

#[test]
fn priority_goes_first_where_it_counts() {
    let order = |scheduling| {
        let mut engine = engine(|config| {
            config.scheduling = scheduling;
            config.max_sequences = 1;
        });
        for (id, priority) in [(1, 5), (2, 0), (3, -1)] {
            let request = Request { priority, ..Request::new(id, prompt(20, id), 1) };
            engine.add(Time::ZERO, request).unwrap();
        }
        let events = drain(&mut engine, Time::ZERO).into_iter();
        let ends = events.filter_map(|(_, event)| match event {
            Event::Finished { id, .. } => Some(id),
            _ => None,
        });
        ends.collect::<Vec<_>>()
    };
    assert_eq!(order(Scheduling::Fcfs), [1, 2, 3]);
    assert_eq!(order(Scheduling::Priority), [3, 2, 1]);
}

#[test]
fn a_lease_ends_by_reading_or_by_time() {
    let mut engine = engine(|_| {});
    for id in [1, 2] {
        let request = Request { source: Source::Produce, ..Request::new(id, prompt(40, id), 1) };
        engine.add(Time::ZERO, request).unwrap();
    }
    let events = drain(&mut engine, Time::ZERO);
    let end = events.last().unwrap().0;
    assert_eq!((engine.leases(), engine.pool().held()), (2, 6));
    assert_eq!(engine.pull(1, end).unwrap().prompt, prompt(40, 1));
    assert!(engine.release(1));
    assert!(!engine.release(1));
    assert_eq!(engine.pool().held(), 3);
    let expiry = engine.wakes_at().unwrap();
    assert_eq!(expiry, end + Time::from_secs(30));
    assert!(engine.pull(2, expiry - Time::from_secs(1)).is_some(), "and renewed");
    engine.expire_leases(expiry);
    assert_eq!(engine.leases(), 1);
    assert!(engine.pull(2, expiry + Time::from_secs(30)).is_none());
    assert_eq!((engine.leases(), engine.pool().held(), engine.stats().expired_leases), (0, 0, 1));
}

fn pulled(id: RequestId, prompt: Prompt, max_tokens: u32, transfer: Time) -> Request {
    let source = Source::Pulled { content: prompt.chain, transfer, remote_cached: 0 };
    Request { source, ..Request::new(id, prompt, max_tokens) }
}

#[test]
fn pulled_kv_is_waited_for_in_its_blocks_and_not_computed() {
    let mut engine = engine(|_| {});
    let transfer = Time::from_millis(500);
    engine.add(Time::ZERO, pulled(1, prompt(4000, 3), 2, transfer)).unwrap();
    assert_eq!(engine.waiting(), (1, 1));
    assert_eq!(engine.begin_step(Time::ZERO), None);
    assert_eq!(engine.wakes_at(), Some(transfer));
    assert_eq!(engine.pool().held(), 250, "held from the beginning of the transfer");
    let events = drain(&mut engine, Time::ZERO);
    let first = tokens_of(&events, 1)[0].0 - transfer;
    assert!(first < Time::from_millis(10), "{first:?}");
    assert_eq!(engine.stats().external_kv_transfer, 4000);
    assert_eq!(engine.pool().held(), 0);
}

#[test]
fn transfers_share_one_link() {
    let mut engine = engine(|_| {});
    let transfer = Time::from_millis(100);
    for id in 1..=3 {
        engine.add(Time::ZERO, pulled(id, prompt(1600, id), 1, transfer)).unwrap();
    }
    let events = drain(&mut engine, Time::ZERO);
    for id in 1..=3 {
        let since = tokens_of(&events, id)[0].0 - transfer * id as u32;
        assert!(since < Time::from_millis(20), "request {id}: {since:?} after its transfer");
    }
    let later = Time::from_secs(9);
    engine.add(later, pulled(4, prompt(1600, 4), 1, transfer)).unwrap();
    engine.begin_step(later);
    assert_eq!(engine.wakes_at(), Some(later + transfer), "an idle link is free at once");
}

#[test]
fn a_transfer_waits_for_its_blocks() {
    let mut engine = engine(|config| config.kv_blocks = 10);
    let transfer = Time::from_millis(100);
    for id in 1..=2 {
        engine.add(Time::ZERO, pulled(id, prompt(96, id), 4, transfer)).unwrap();
    }
    assert_eq!(engine.begin_step(Time::ZERO), None);
    assert_eq!(engine.pool().held(), 6, "four blocks are too few for the second");
    let events = drain(&mut engine, Time::ZERO);
    let freed = tokens_of(&events, 1)[3].0;
    let second = tokens_of(&events, 2)[0].0;
    assert!(freed > transfer && second >= freed + transfer, "{freed:?}, {second:?}");
}

#[test]
fn kv_that_has_arrived_starts_before_a_request_that_lacks_its_blocks() {
    let mut engine = engine(|config| config.kv_blocks = 10);
    add(&mut engine, 1, prompt(48, 1), 100);
    engine.add(Time::ZERO, pulled(2, prompt(80, 2), 20, Time::from_millis(50))).unwrap();
    let events = drain(&mut engine, Time::ZERO);
    assert_eq!((tokens_of(&events, 1).len(), tokens_of(&events, 2).len()), (100, 20));
    assert!(engine.stats().preemptions > 0, "they do not fit together");
    assert_eq!(engine.pool().held(), 0);
}

#[test]
fn what_can_never_fit_is_refused() {
    let mut engine = engine(|config| config.kv_blocks = 4);
    let refused = engine.add(Time::ZERO, Request::new(1, prompt(60, 0), 5));
    assert_eq!(refused, Err(AddError::TooLong));
    add(&mut engine, 2, prompt(60, 0), 4);
    assert_eq!(tokens_of(&drain(&mut engine, Time::ZERO), 2).len(), 4);
}

/// What happens to an engine in a property test.
#[derive(Clone, Debug)]
enum Act {
    Add { tokens: u32, seed: u64, max_tokens: u32, kind: u8, priority: i64 },
    Step,
    Abort(RequestId),
    Release(RequestId),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        3 => (1u32..200, 0u64..4, 1u32..60, 0u8..3, 0i64..3).prop_map(
            |(tokens, seed, max_tokens, kind, priority)| Act::Add {
                tokens, seed, max_tokens, kind, priority,
            }
        ),
        10 => Just(Act::Step),
        1 => (1u64..30).prop_map(Act::Abort),
        1 => (1u64..30).prop_map(Act::Release),
    ]
}

/// Plays the acts and then drains; blocks are conserved all the way.
fn play(acts: &[Act], scheduling: Scheduling) -> Vec<(Time, Event)> {
    let mut engine = engine(|config| {
        config.kv_blocks = 20;
        config.max_batched_tokens = 64;
        config.max_sequences = 4;
        config.scheduling = scheduling;
    });
    let mut now = Time::ZERO;
    let mut seen = Vec::new();
    let mut next = 0;
    for act in acts {
        match *act {
            Act::Add { tokens, seed, max_tokens, kind, priority } => {
                next += 1;
                let request = match kind {
                    0 => Request::new(next, prompt(tokens, seed), max_tokens),
                    1 => Request {
                        source: Source::Produce,
                        ..Request::new(next, prompt(tokens, seed), max_tokens)
                    },
                    _ => pulled(next, prompt(tokens, seed), max_tokens, Time::from_millis(30)),
                };
                engine.add(now, Request { priority, ..request }).unwrap();
            }
            Act::Step => {
                now = engine.begin_step(now).unwrap_or(now);
                let mut events = Vec::new();
                engine.finish_step(&mut events);
                seen.extend(events.into_iter().map(|event| (now, event)));
            }
            Act::Abort(id) => {
                engine.abort(id);
            }
            Act::Release(id) => {
                engine.release(id);
            }
        }
        assert_eq!(engine.pool().free() + engine.pool().held(), engine.pool().total());
    }
    seen.extend(drain(&mut engine, now));
    engine.expire_leases(Time::MAX);
    assert_eq!(engine.pool().free(), engine.pool().total(), "blocks leaked");
    assert_eq!((engine.running(), engine.waiting().0), (0, 0));
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn every_request_ends_and_blocks_are_conserved(
        acts in prop::collection::vec(act(), 1..60),
        by_priority in any::<bool>(),
    ) {
        let scheduling = if by_priority { Scheduling::Priority } else { Scheduling::Fcfs };
        let events = play(&acts, scheduling);
        let mut written: BTreeMap<RequestId, u32> = BTreeMap::new();
        let mut ended: BTreeMap<RequestId, u32> = BTreeMap::new();
        for (_, event) in &events {
            match event {
                Event::Token { id, .. } => *written.entry(*id).or_default() += 1,
                Event::Finished { id, .. } => *ended.entry(*id).or_default() += 1,
                Event::PrefillDone { .. } => {}
            }
        }
        let mut id = 0;
        let aborted: Vec<_> =
            acts.iter().filter_map(|act| if let Act::Abort(id) = act { Some(*id) } else { None }).collect();
        for act in &acts {
            let Act::Add { max_tokens, .. } = act else { continue };
            id += 1;
            let whole = ended.get(&id) == Some(&1) && written.get(&id) == Some(max_tokens);
            prop_assert!(whole || aborted.contains(&id), "request {id}: {written:?} {ended:?}");
        }
        prop_assert!(events.is_sorted_by_key(|(time, _)| *time));
    }

    #[test]
    fn the_same_acts_make_the_same_events(acts in prop::collection::vec(act(), 1..40)) {
        prop_assert_eq!(play(&acts, Scheduling::Fcfs), play(&acts, Scheduling::Fcfs));
    }

    #[test]
    fn text_depends_on_the_prompt_alone(tokens in 1u32..300, chunk in 1u32..64) {
        let words = |chunk: u32| {
            let mut engine = engine(|config| config.max_batched_tokens = chunk);
            add(&mut engine, 1, prompt(tokens, 5), 8);
            let events = drain(&mut engine, Time::ZERO);
            tokens_of(&events, 1).into_iter().map(|(_, token)| token).collect::<Vec<_>>()
        };
        let mut chain = prompt(tokens, 5).chain;
        let expected: Vec<u64> = (0..8).map(|_| {
            let token = chain.next_token(0);
            chain = Chain::push(chain, token);
            token
        }).collect();
        prop_assert_eq!(words(chunk), expected);
    }
}
