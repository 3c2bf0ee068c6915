use proptest::prelude::*;

use super::*;
use crate::endpoint::pool::Pool;
use crate::memory::arrival_rates::ArrivalRates;
use crate::request::analyze::Priority;
use crate::target::Target;

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

const fn ask(priority: Priority, arrived: u64, within: u64) -> Ask {
    Ask { priority, arrived: ms(arrived), within: ms(within), needs: ms(100) }
}

/// Takes the next one out: nothing is in flight.
fn take<T: Copy>(queue: &mut Queue<T>, now: u64) -> Option<T> {
    let (pool, arrivals) = (Pool::default(), ArrivalRates::default());
    let now = ms(now);
    let target = Target::default();
    let outlook = Outlook { choice: None, pool: &pool, target, arrivals: &arrivals, now };
    let next = queue.next(now).copied()?;
    assert_eq!(queue.step(|_| true, &outlook), Verdict::Go);
    Some(next)
}

fn order<T: Copy>(queue: &mut Queue<T>, now: u64) -> Vec<T> {
    std::iter::from_fn(|| take(queue, now)).collect()
}

#[test]
fn by_priority_then_by_deadline_and_late_ones_last() {
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
    assert_eq!(order(&mut queue, 100), ["high", "sooner", "later", "low", "broken"]);
}

#[test]
fn a_full_queue_sheds_who_would_be_last() {
    let mut queue = Queue::new(2);
    queue.push("low", ask(Priority::Low, 0, 500), ms(0)).expect("room");
    queue.push("medium", ask(Priority::Medium, 0, 500), ms(0)).expect("room");
    let high = queue.push("high", ask(Priority::High, 0, 500), ms(0));
    let shed = high.expect_err("the queue is full");
    assert_eq!((shed.item, shed.refusal.why), ("low", Shedding::Full));
    let late = queue.push("late", ask(Priority::Medium, 10, 500), ms(10));
    assert_eq!(late.expect_err("the queue is full of others").item, "late");
    assert_eq!(order(&mut queue, 10), ["high", "medium"]);
}

#[test]
fn late_requests_go_last_and_one_departure_in_twenty_is_theirs() {
    let mut queue = Queue::new(99);
    queue.push(("late", 1), ask(Priority::High, 50, 100), ms(100)).expect("room");
    queue.push(("late", 0), ask(Priority::Low, 0, 150), ms(100)).expect("room");
    for i in 0..40 {
        queue.push(("in time", i), ask(Priority::Low, 100, 9000), ms(100)).expect("room");
    }
    let order = order(&mut queue, 100);
    let late: Vec<_> = (0..order.len()).filter(|i| order[*i].0 == "late").collect();
    assert_eq!(late, [19, 39]);
    assert_eq!(
        (order[19].1, order[39].1),
        (0, 1),
        "the longest-waiting first, whatever its priority"
    );
}

#[test]
fn a_late_request_waits_for_no_turn_where_nobody_can_be_in_time() {
    let mut queue = Queue::new(9);
    for (name, arrived) in [("second", 20), ("first", 10)] {
        queue.push(name, ask(Priority::Medium, arrived, 100), ms(500)).expect("room");
    }
    assert_eq!(order(&mut queue, 500), ["first", "second"]);
}

#[test]
fn those_whose_promise_cannot_be_kept_are_shed_where_the_route_says_so() {
    let mut queue = Queue::new(9);
    for i in 0..4 {
        queue.push("served", ask(Priority::High, 0, 500), ms(i)).expect("room");
        take(&mut queue, i);
    }
    queue.push("fine", ask(Priority::Medium, 0, 900), ms(0)).expect("room");
    queue.push("late", ask(Priority::High, 0, 200), ms(0)).expect("room");
    assert_eq!(queue.shed_unattainable(OnUnattainable::BestEffort, ms(150)), []);
    let shed = queue.shed_unattainable(OnUnattainable::Reject, ms(150));
    assert_eq!(shed.len(), 1);
    let Shed { item, refusal } = shed[0];
    assert_eq!((item, refusal.why), ("late", Shedding::Unattainable));
    let retry = refusal.retry_after;
    assert!((ms(1000)..ms(10_000)).contains(&retry), "{retry:?}");
    assert_eq!(order(&mut queue, 150), ["fine"]);
}

#[test]
fn a_queue_that_moves_faster_asks_to_come_back_sooner() {
    let retry_after = |taken: u64| {
        let mut queue = Queue::new(99);
        for i in 0..taken {
            queue.push(i, ask(Priority::High, 0, 500), ms(i)).expect("room");
            take(&mut queue, i);
        }
        (0..40).for_each(|i| queue.push(i, ask(Priority::Low, 0, 500), ms(200)).expect("room"));
        queue.refusal(Shedding::Full, ms(200)).retry_after
    };
    assert_eq!(retry_after(0), ms(1000), "nothing is known");
    assert!(retry_after(20) > retry_after(60), "{:?}", retry_after(20));
    assert!(retry_after(1) <= LONGEST_RETRY);
}

/// One event at a queue.
#[derive(Clone, Debug)]
enum Happens {
    Enters {
        priority: Priority,
        within: u64,
    },
    /// The next one goes, if there is one.
    Goes,
    /// The one that entered this many before the last leaves by itself.
    Leaves(usize),
    ShedsUnattainable,
}

fn happens() -> impl Strategy<Value = Happens> {
    let priority = prop_oneof![Just(Priority::High), Just(Priority::Medium), Just(Priority::Low)];
    prop_oneof![
        4 => (priority, 1_u64..3000).prop_map(|(priority, within)| Happens::Enters { priority, within }),
        2 => Just(Happens::Goes),
        1 => (0_usize..8).prop_map(Happens::Leaves),
        1 => Just(Happens::ShedsUnattainable),
    ]
}

/// A queue beside the plain list of what must be in it.
struct Model {
    queue: Queue<usize>,
    /// Each that waits, in the order in which they entered.
    waiting: Vec<(usize, Ask)>,
    most: usize,
    entered: usize,
    since_late: u32,
}

impl Model {
    fn forget(&mut self, item: usize) -> Ask {
        let at = self.waiting.iter().position(|(waits, _)| *waits == item);
        self.waiting.remove(at.expect("only one that waits comes out, and comes out once")).1
    }

    fn order(ask: &Ask, now: u64) -> (bool, Priority, Duration) {
        (!ask.attainable(ms(now)), ask.priority, ask.deadline())
    }

    fn happens(&mut self, event: &Happens, now: u64) {
        match *event {
            Happens::Enters { priority, within } => {
                let (item, ask) = (self.entered, ask(priority, now, within));
                self.entered += 1;
                self.waiting.push((item, ask));
                let full = self.waiting.len() > self.most;
                match self.queue.push(item, ask, ms(now)) {
                    Ok(()) => assert!(!full, "a full queue sheds"),
                    Err(shed) => {
                        assert!(full, "only a full queue sheds");
                        let order = Self::order(&self.forget(shed.item), now);
                        let others = self.waiting.iter().map(|(_, ask)| Self::order(ask, now));
                        assert!(others.max() <= Some(order), "it would have been served last");
                    }
                }
            }
            Happens::Goes => match take(&mut self.queue, now) {
                None => assert!(self.waiting.is_empty()),
                Some(item) => {
                    let ask = self.forget(item);
                    let late = |ask: &Ask| !ask.attainable(ms(now));
                    let mut others = self.waiting.iter().map(|(_, ask)| ask);
                    if self.since_late + 1 >= LATE_TURN && (late(&ask) || others.clone().any(late))
                    {
                        let longest =
                            others.all(|other| !late(other) || ask.arrived <= other.arrived);
                        assert!(
                            late(&ask) && longest,
                            "it is the turn of the longest-waiting late one"
                        );
                    } else {
                        let first = others.map(|other| Self::order(other, now)).min();
                        assert!(
                            first.is_none_or(|first| Self::order(&ask, now) <= first),
                            "it was first"
                        );
                    }
                    self.since_late = if late(&ask) { 0 } else { self.since_late + 1 };
                }
            },
            Happens::Leaves(before) => {
                let at = self.waiting.len().checked_sub(before + 1);
                let Some((item, _)) = at.map(|at| self.waiting.remove(at)) else { return };
                assert_eq!(self.queue.remove(|waits, _| *waits == item), [item]);
            }
            Happens::ShedsUnattainable => {
                for shed in self.queue.shed_unattainable(OnUnattainable::Reject, ms(now)) {
                    assert!(!self.forget(shed.item).attainable(ms(now)));
                }
                assert!(self.waiting.iter().all(|(_, ask)| ask.attainable(ms(now))));
            }
        }
    }
}

proptest! {
    #[test]
    fn each_comes_out_once_in_its_turn(
        events in prop::collection::vec(happens(), 1..120), most in 0_usize..12
    ) {
        let mut model =
            Model { queue: Queue::new(most), waiting: Vec::new(), most, entered: 0, since_late: 0 };
        for (i, event) in events.iter().enumerate() {
            model.happens(event, i as u64 * 50);
            prop_assert_eq!(model.queue.len(), model.waiting.len());
            prop_assert!(model.queue.len() <= most);
        }
    }

    /// As many come as go, all of them more urgent and in time: even so a late request goes.
    #[test]
    fn a_late_request_goes_however_many_others_come(already_late in 0_usize..4) {
        let mut queue = Queue::new(1000);
        for item in 0..=already_late {
            queue.push(item, ask(Priority::Low, item as u64, 100), ms(100)).expect("room");
        }
        let turns = LATE_TURN as usize * (already_late + 1);
        let mut went = Vec::new();
        for turn in 0..turns {
            queue.push(100 + turn, ask(Priority::High, 100, 9000), ms(100)).expect("room");
            went.extend(take(&mut queue, 100).filter(|item| *item < 100));
        }
        prop_assert_eq!(went, (0..=already_late).collect::<Vec<_>>());
    }
}
