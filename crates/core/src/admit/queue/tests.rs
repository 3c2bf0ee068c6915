use proptest::prelude::*;

use super::*;
use crate::request::analyze::Priority;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn ask(priority: Priority, arrived: u64, within: u64) -> Ask {
    Ask { priority, arrived: ms(arrived), within: ms(within), needs: ms(100) }
}

fn order(queue: &mut Queue<&'static str>, now: u64) -> Vec<&'static str> {
    std::iter::from_fn(|| queue.take(ms(now))).collect()
}

#[test]
fn by_class_then_by_deadline_and_broken_promises_last() {
    let mut queue = Queue::new(9);
    for (name, ask) in [
        ("low", ask(Priority::Low, 0, 500)),
        ("later", ask(Priority::Medium, 0, 900)),
        ("broken", ask(Priority::Medium, 0, 150)),
        ("sooner", ask(Priority::Medium, 100, 500)),
        ("high", ask(Priority::High, 100, 5000)),
    ] {
        queue.push(name, ask, ms(100)).expect("room");
    }
    assert_eq!(order(&mut queue, 100), ["high", "sooner", "later", "broken", "low"]);
}

#[test]
fn a_full_queue_sheds_who_would_be_last() {
    let mut queue = Queue::new(2);
    queue.push("low", ask(Priority::Low, 0, 500), ms(0)).expect("room");
    queue.push("medium", ask(Priority::Medium, 0, 500), ms(0)).expect("room");
    let high = queue.push("high", ask(Priority::High, 0, 500), ms(0));
    assert_eq!(high, Err(Shed("low")));
    let late = queue.push("late", ask(Priority::Medium, 10, 500), ms(10));
    assert_eq!(late, Err(Shed("late")));
    assert_eq!(order(&mut queue, 10), ["high", "medium"]);
}

#[test]
fn who_waits_long_rises() {
    let mut queue = Queue::new(9);
    queue.push("low", ask(Priority::Low, 0, 1000), ms(0)).expect("room");
    queue.push("high", ask(Priority::High, 11_000, 1000), ms(11_000)).expect("room");
    assert_eq!(queue.next(ms(11_000)), Some(&"high"));
    assert_eq!(order(&mut queue, 12_200), ["low", "high"], "both are first class by now");
    queue.push("low", ask(Priority::Low, 0, 1000), ms(0)).expect("room");
    queue.push("new", ask(Priority::Medium, 12_500, 1000), ms(12_500)).expect("room");
    assert_eq!(queue.next(ms(12_500)), Some(&"low"));
}

#[test]
fn those_that_cannot_be_kept_can_be_found_and_told_when_to_come_back() {
    let mut queue = Queue::new(9);
    for i in 0..4 {
        queue.push("served", ask(Priority::High, 0, 500), ms(i)).expect("room");
        queue.take(ms(i));
    }
    queue.push("fine", ask(Priority::Medium, 0, 900), ms(0)).expect("room");
    queue.push("late", ask(Priority::High, 0, 200), ms(0)).expect("room");
    assert_eq!(queue.unattainable(ms(150)), ["late"]);
    let retry = queue.retry_after(ms(150));
    assert!((ms(1000)..ms(10_000)).contains(&retry), "{retry:?}");
}

#[test]
fn whose_promise_no_plan_would_keep_goes_behind_the_others_and_is_served_all_the_same() {
    let target = Target { ttft: ms(500), itl: ms(50) };
    let forecast = |ttft, wait| Forecast { ttft, wait, itl: 0.02, ..Forecast::default() };
    let urgency = ArrivalRates::default();
    let mut queue = Queue::new(9);
    queue.push("late", ask(Priority::Medium, 0, 500), ms(0)).expect("room");
    queue.push("fresh", ask(Priority::Medium, 300, 500), ms(300)).expect("room");
    assert_eq!(queue.next(ms(300)), Some(&"late"));
    assert_eq!(queue.weigh(&forecast(0.3, 0.05), target, &urgency, ms(300)), Prospect::Late);
    assert_eq!(queue.next(ms(300)), Some(&"fresh"));
    assert_eq!(queue.weigh(&forecast(0.3, 0.2), target, &urgency, ms(300)), Prospect::Wait);
    assert_eq!(queue.weigh(&forecast(0.3, 0.09), target, &urgency, ms(300)), Prospect::Room);
    assert_eq!(queue.take(ms(300)), Some("fresh"));
    assert_eq!(queue.weigh(&forecast(0.3, 0.09), target, &urgency, ms(300)), Prospect::Room);
}

#[test]
fn the_line_before_an_endpoint_is_longer_for_who_is_more_urgent() {
    let target = Target { ttft: ms(500), itl: ms(50) };
    let room = |wait, priority| {
        has_room(&Forecast { wait, itl: 0.05, ..Forecast::default() }, target, priority, false)
    };
    assert!(room(0.09, Priority::High) && room(0.09, Priority::Medium));
    assert!(room(0.3, Priority::High) && !room(0.3, Priority::Medium));
    assert!(room(0.04, Priority::Low) && !room(0.12, Priority::Low));
}

#[test]
fn room_for_streams_is_left_where_more_urgent_requests_come() {
    let urgency = ArrivalRates::default();
    (0..100).for_each(|i| urgency.note(Priority::Medium, ms(i)));
    assert!(!urgency.beyond(Priority::Medium, ms(100)));
    assert!(urgency.beyond(Priority::Low, ms(100)));
    (0..10).for_each(|i| urgency.note(Priority::High, ms(100 + i)));
    assert!(urgency.beyond(Priority::Medium, ms(110)) && !urgency.beyond(Priority::High, ms(110)));
    let target = Target { ttft: ms(500), itl: ms(30) };
    let slow = Forecast { itl: 0.04, ..Forecast::default() };
    let room = |forecast, behind| has_room(&forecast, target, Priority::Medium, behind);
    assert!(room(slow, false) && !room(slow, true));
    let waits = Forecast { wait: 0.07, ..Forecast::default() };
    assert!(room(waits, false) && !room(waits, true), "a seventh of its target");
}

proptest! {
    #[test]
    fn nobody_is_lost_and_nobody_waits_for_ever(
        asks in prop::collection::vec((0_u8..3, 1_u64..3000), 1..60), most in 1_usize..30
    ) {
        let mut queue = Queue::new(most);
        let (mut in_, mut out) = (0, 0);
        for (i, (priority, within)) in asks.iter().enumerate() {
            let priority = [Priority::High, Priority::Medium, Priority::Low][usize::from(*priority)];
            let now = i as u64 * 50;
            in_ += 1;
            out += usize::from(queue.push(i, ask(priority, now, *within), ms(now)).is_err());
            prop_assert!(queue.len() <= most);
        }
        while queue.take(ms(100_000)).is_some() {
            out += 1;
        }
        prop_assert_eq!(in_, out);
    }
}
