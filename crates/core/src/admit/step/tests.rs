use super::*;
use crate::admit::queue::Queue;
use crate::endpoint::tests::endpoint;
use crate::phase::{Phase, Role};
use crate::plan::choice::Plan;
use crate::plan::reason::Reason;

const TARGET: Target = Target { ttft: Duration::from_millis(500), itl: Duration::from_millis(50) };

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn ask(priority: Priority, arrived: u64) -> Ask {
    Ask { priority, arrived: ms(arrived), within: TARGET.ttft, needs: ms(100) }
}

/// A plan whose first token comes after `ttft` seconds, `wait` of them before its prompt's turn.
fn choice(ttft: f64, wait: f64) -> Choice {
    let forecast = Forecast { ttft, wait, itl: 0.02, ..Forecast::default() };
    let plan = Plan::Local { endpoint: 0 };
    Choice { plan, reason: Reason::FirstTokenSooner, forecast: Some(forecast) }
}

/// One endpoint.
struct Scene {
    pool: Pool,
    arrivals: ArrivalRates,
}

impl Scene {
    fn new() -> Self {
        let pool = [endpoint("e", Role::Mixed)].into_iter().collect();
        Self { pool, arrivals: ArrivalRates::default() }
    }

    fn outlook<'a>(&'a self, choice: Option<&'a Choice>, now: u64) -> Outlook<'a> {
        let Self { pool, arrivals } = self;
        Outlook { choice, pool, target: TARGET, arrivals, now: ms(now) }
    }

    /// One that waits since 0 ms looks.
    fn step(&self, queue: &mut Queue<&str>, who: &str, choice: &Choice, now: u64) -> Verdict {
        queue.step(|item| *item == who, &self.outlook(Some(choice), now))
    }
}

#[test]
fn what_arrives_begins_waits_or_is_refused() {
    use OnUnattainable::{BestEffort, Reject};
    let late = Arrival::Refuse(Shedding::Unattainable);
    for (rule, empty, now, expected) in [
        (BestEffort, true, 0, Arrival::MayBegin),
        (BestEffort, false, 0, Arrival::Queue),
        (BestEffort, true, 401, Arrival::MayBegin),
        (BestEffort, false, 401, Arrival::Queue),
        (Reject, true, 400, Arrival::MayBegin),
        (Reject, false, 400, Arrival::Queue),
        (Reject, true, 401, late),
        (Reject, false, 401, late),
    ] {
        let ask = ask(Priority::Medium, 0);
        assert_eq!(
            arrive(rule, empty, || ask.attainable(ms(now))),
            expected,
            "{rule:?} {empty} {now}"
        );
    }
}

#[test]
fn one_begins_at_once_where_there_is_room_or_nothing_to_wait_for() {
    let scene = Scene::new();
    let (long, late) = (choice(9.0, 9.0), choice(9.0, 0.1));
    let blind = Choice { forecast: None, ..long };
    let at_once = |choice| scene.outlook(choice, 0).at_once(Priority::Medium);
    assert_eq!(at_once(Some(&long)), Verdict::Go, "nothing is in flight");
    let _busy = scene.pool[0].state.hold(Phase::Decoding, 1);
    assert_eq!(at_once(Some(&long)), Verdict::Wait);
    assert_eq!(at_once(None), Verdict::Go, "it is told that there is no endpoint");
    assert_eq!(at_once(Some(&blind)), Verdict::Go, "no forecast");
    assert_eq!(at_once(Some(&late)), Verdict::Go, "late, and nobody is before it");
}

#[test]
fn only_the_first_goes_and_has_left_the_queue_then() {
    let (scene, mut queue) = (Scene::new(), Queue::new(9));
    queue.push("low", ask(Priority::Low, 0), ms(0)).expect("room");
    queue.push("high", ask(Priority::High, 0), ms(0)).expect("room");
    let good = choice(0.2, 0.0);
    assert_eq!(scene.step(&mut queue, "low", &good, 0), Verdict::Wait);
    assert_eq!(scene.step(&mut queue, "high", &good, 0), Verdict::Go);
    assert_eq!(scene.step(&mut queue, "high", &good, 0), Verdict::Wait, "it is not there any more");
    assert_eq!(scene.step(&mut queue, "low", &good, 0), Verdict::Go);
    assert!(queue.is_empty());
    assert_eq!(scene.step(&mut queue, "low", &good, 0), Verdict::Wait);
}

#[test]
fn one_whose_promise_no_plan_would_keep_goes_behind_the_others_and_is_served_all_the_same() {
    let (scene, mut queue) = (Scene::new(), Queue::new(9));
    let _busy = scene.pool[0].state.hold(Phase::Decoding, 1);
    queue.push("late", ask(Priority::Medium, 0), ms(0)).expect("room");
    queue.push("fresh", ask(Priority::Medium, 300), ms(300)).expect("room");
    let mut step = |who, ttft, wait| scene.step(&mut queue, who, &choice(ttft, wait), 300);
    assert_eq!(step("late", 0.3, 0.05), Verdict::Late, "300 ms of 500 ms are gone");
    assert_eq!(step("late", 0.3, 0.05), Verdict::Wait, "it is not the first any more");
    assert_eq!(step("fresh", 0.3, 0.2), Verdict::Wait);
    assert_eq!(step("fresh", 0.3, 0.09), Verdict::Go);
    assert_eq!(step("late", 0.3, 0.2), Verdict::Wait, "it is late only once");
    assert_eq!(step("late", 0.3, 0.09), Verdict::Go);
}

#[test]
fn room_is_left_for_more_urgent_requests_that_come() {
    let scene = Scene::new();
    let _busy = scene.pool[0].state.hold(Phase::Decoding, 1);
    (0..10).for_each(|i| scene.arrivals.note(Priority::High, ms(i)));
    let choice = choice(0.3, 0.1);
    let step = |priority| scene.outlook(Some(&choice), 10).at_once(priority);
    assert_eq!([Priority::High, Priority::Medium].map(step), [Verdict::Go, Verdict::Wait]);
}
