use std::task::{Context, Poll, Waker};

use qoe_core::admit::ask::Ask;
use qoe_core::admit::room::OnUnattainable;
use qoe_core::admit::step::{Outlook, Verdict};
use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::holds::Hold;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::memory::arrival_rates::ArrivalRates;
use qoe_core::phase::{Phase, Role, RoleSource};
use qoe_core::plan::choice::{Choice, Plan};
use qoe_core::plan::forecast::Forecast;
use qoe_core::plan::reason::Reason;
use qoe_core::target::Target;

use super::*;
use crate::clock::Clock;
use crate::queue::place::{QueuePlace, Standing};
use qoe_core::admit::step::TICK;

mod wakes;

/// A request whose first token is due `within` these seconds, and takes one.
fn ask(priority: Priority, within: u64) -> Ask {
    let seconds = Duration::from_secs;
    Ask { priority, arrived: Duration::ZERO, within: seconds(within), needs: seconds(1) }
}

/// A queue, before one endpoint that has something to do.
struct Scene {
    admission: Arc<Admission>,
    clock: Clock,
    pool: Pool,
    arrivals: ArrivalRates,
    _busy: Hold,
}

impl Scene {
    fn new(most: usize) -> Self {
        let state = Arc::new(EndpointState::new("e", "e"));
        let endpoint = Endpoint {
            state: Arc::clone(&state),
            role: Role::Mixed,
            role_source: RoleSource::Label,
            connector: Connector::None,
            group: None,
        };
        Self {
            admission: Arc::new(Admission::new(most, Default::default())),
            clock: Clock::start(),
            pool: [endpoint].into_iter().collect(),
            arrivals: ArrivalRates::default(),
            _busy: state.hold(Phase::Decoding, 1),
        }
    }

    fn enter(&self, ask: Ask) -> Result<QueuePlace, Refusal> {
        QueuePlace::enter(&self.admission, self.clock, ask, 100)
    }

    fn medium(&self, within: u64) -> QueuePlace {
        self.enter(ask(Priority::Medium, within)).expect("room")
    }

    fn nudge(&self) {
        self.admission.nudge(self.clock.now());
    }

    /// What one does whose best plan has this forecast.
    fn step(&self, place: &QueuePlace, forecast: Option<Forecast>) -> Verdict {
        let (plan, reason) = (Plan::Local { endpoint: 0 }, Reason::FirstTokenSooner);
        place.step(&Outlook {
            choice: Some(&Choice { plan, reason, forecast }),
            pool: &self.pool,
            target: Target { ttft: Duration::from_secs(100), itl: Duration::from_millis(50) },
            arrivals: &self.arrivals,
            now: self.clock.now(),
        })
    }

    /// It goes, if it is the first one: there is room for it.
    fn goes(&self, place: &QueuePlace) -> bool {
        self.step(place, None) == Verdict::Go
    }
}

/// Whether it was woken since it was last asked.
fn woken(place: &QueuePlace) -> bool {
    let waiting = std::pin::pin!(place.waiter.wake.notified());
    waiting.poll(&mut Context::from_waker(Waker::noop())) == Poll::Ready(())
}

#[test]
fn one_event_wakes_the_first_and_nobody_else() {
    let scene = Scene::new(1000);
    let places: Vec<_> = (0..500).map(|i| scene.medium(100 + i)).collect();
    assert_eq!(places[0].entered(), Standing::First);
    assert!(places[1..].iter().all(|place| place.entered() == Standing::Behind));
    for _ in 0..3 {
        scene.nudge();
    }
    let all: Vec<_> = places.iter().filter(|place| woken(place)).collect();
    assert_eq!(all.len(), 1);
    assert_eq!(places[0].look(OnUnattainable::BestEffort), Standing::First);
    scene.nudge();
    assert!(woken(&places[0]), "what comes after it has looked wakes it again");
}

#[test]
fn who_leaves_wakes_the_next_however_it_leaves() {
    let scene = Scene::new(9);
    let [a, b, c] = [10, 20, 30].map(|within| scene.medium(within));
    assert!(scene.goes(&a));
    assert!(!woken(&b), "not before it holds its endpoints");
    drop(a);
    assert!(woken(&b));
    drop(b); // Its client has left, after it was woken and before it looked.
    assert!(woken(&c));
    assert_eq!(c.look(OnUnattainable::BestEffort), Standing::First);
    assert!(scene.goes(&c) && !scene.goes(&c));
    drop(c);
    assert!(scene.admission.is_empty());
    assert_eq!(scene.admission.tokens(), 0);
    assert_eq!(scene.admission.gauge(Priority::Medium).get(), 0);
}

#[test]
fn the_watch_goes_to_who_is_first_by_now() {
    let scene = Scene::new(9);
    let slow = scene.medium(10);
    assert_eq!(slow.entered(), Standing::First);
    let urgent = scene.enter(ask(Priority::High, 50)).expect("room");
    assert_eq!(urgent.entered(), Standing::First);
    assert!(!scene.goes(&slow), "it is not its turn any more");
    // Its tick comes.
    assert_eq!(slow.look(OnUnattainable::BestEffort), Standing::Behind);
    assert!(woken(&urgent) && !woken(&slow));
    assert_eq!(scene.admission.tokens(), 200);
}

#[test]
fn whose_plan_is_too_late_lets_the_next_one_look_and_goes_after_it() {
    let scene = Scene::new(9);
    let [late, next] = [10, 20].map(|within| scene.medium(within));
    let step = |place: &QueuePlace, ttft, wait| {
        scene.step(place, Some(Forecast { ttft, wait, itl: 0.01, ..Forecast::default() }))
    };
    assert_eq!(step(&late, 1000.0, 0.0), Verdict::Late);
    assert_eq!(late.look(OnUnattainable::BestEffort), Standing::Behind);
    assert!(woken(&next) && !woken(&late));
    assert_eq!(next.look(OnUnattainable::BestEffort), Standing::First);
    assert_eq!(step(&next, 99.0, 99.0), Verdict::Wait);
    assert_eq!(step(&next, 1.0, 0.0), Verdict::Go);
    drop(next);
    assert!(woken(&late));
    // Nobody is before it any more.
    assert_eq!(step(&late, 1000.0, 0.0), Verdict::Go);
}

#[test]
fn a_full_queue_refuses_the_last_and_tells_it() {
    let scene = Scene::new(2);
    let low = scene.enter(ask(Priority::Low, 10)).expect("room");
    let medium = scene.medium(10);
    let high = scene.enter(ask(Priority::High, 10)).expect("room");
    assert!(woken(&low));
    let Standing::Refused(Refusal { why, retry_after }) = low.look(OnUnattainable::BestEffort)
    else {
        panic!("it was shed")
    };
    assert_eq!(why, Shedding::Full);
    assert!(retry_after >= Duration::from_secs(1));
    drop(low);
    let late = scene.enter(ask(Priority::Low, 10)).err().expect("the queue is full of others");
    assert_eq!(late.why, Shedding::Full);
    assert_eq!(
        (high.look(OnUnattainable::BestEffort), medium.look(OnUnattainable::BestEffort)),
        (Standing::First, Standing::Behind)
    );
    assert_eq!(scene.admission.gauge(Priority::Low).get(), 0);
}

#[test]
fn who_cannot_be_in_time_is_refused_where_the_route_says_so() {
    let scene = Scene::new(9);
    let late = scene.enter(ask(Priority::High, 0)).expect("room");
    let fine = scene.medium(100);
    assert_eq!(fine.look(OnUnattainable::BestEffort), Standing::First, "a late one goes last");
    assert!(!woken(&late), "and waits");
    assert_eq!(fine.look(OnUnattainable::Reject), Standing::First);
    assert!(woken(&late));
    assert!(matches!(
        late.look(OnUnattainable::BestEffort),
        Standing::Refused(Refusal { why: Shedding::Unattainable, .. })
    ));
}

#[tokio::test(start_paused = true)]
async fn the_first_looks_at_every_tick_and_others_sleep() {
    let scene = Scene::new(9);
    let [first, second] = [10, 20].map(|within| scene.medium(within));
    let began = tokio::time::Instant::now();
    first.wait(Standing::First).await;
    assert_eq!(began.elapsed(), TICK);
    let asleep = tokio::time::timeout(TICK * 1000, second.wait(Standing::Behind)).await;
    assert!(asleep.is_err(), "nobody woke it");
    drop(first);
    second.wait(Standing::Behind).await;
}

/// Workers on threads of their own, one request in flight at a time: all come through, one after the other.
#[test]
fn nobody_is_lost_among_threads() {
    const EACH: u64 = 200;
    let scene = Scene::new(10_000);
    let busy = std::sync::atomic::AtomicBool::new(false);
    let served = AtomicU64::new(0);
    std::thread::scope(|threads| {
        for _ in 0..4 {
            threads.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
                let local = tokio::task::LocalSet::new();
                let runs = (0..EACH).map(|i| {
                    let (scene, busy, served) = (&scene, &busy, &served);
                    async move {
                        let place = scene.medium(10 + i);
                        let mut standing = place.entered();
                        loop {
                            let turn = scene.admission.turn();
                            let first = standing == Standing::First;
                            if first && !busy.load(Ordering::SeqCst) && scene.goes(&place) {
                                assert!(!busy.swap(true, Ordering::SeqCst));
                                break;
                            }
                            drop(turn);
                            place.wait(standing).await;
                            standing = place.look(OnUnattainable::BestEffort);
                        }
                        drop(place);
                        tokio::task::yield_now().await;
                        busy.store(false, Ordering::SeqCst);
                        served.fetch_add(1, Ordering::Relaxed);
                        scene.nudge();
                    }
                });
                let all = futures::future::join_all(runs);
                local.block_on(&runtime.expect("a runtime"), all);
            });
        }
    });
    assert_eq!(served.load(Ordering::Relaxed), 4 * EACH);
    assert!(scene.admission.is_empty());
}
