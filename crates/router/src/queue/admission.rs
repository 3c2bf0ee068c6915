//! The queue of one route in this router: where requests wait until an endpoint has room for them.
//!
//! All workers share it. It says only *who may plan*: the first one. A request that waits plans itself, on its own
//! worker's thread, and either goes or stays where it is, so nothing of it ever moves between threads.
//!
//! - *Who wakes whom.* The first one holds the watch: it looks every [`TICK`], or when it is nudged, which happens where
//!   room may have come: a prompt was read, a request ended, the one before it has gone. All others sleep. If the
//!   watch finds that another is first by now (one more urgent came, its own promise cannot be kept any more), it wakes
//!   that one and sleeps.
//!   So one event wakes one request, and an empty queue costs nothing.
//! - *No wake-up is lost.* A queue that is not empty has someone who was woken and has not looked yet, or whose tick is
//!   running: who leaves, in whatever way, wakes the next. A nudge that comes too early for a request that is just
//!   entering is made good by its tick.
//! - *Room is seen as it is.* One request at a time plans while others wait ([`Admission::turn`]), and holds its
//!   endpoints before the next one looks. The locks are held for microseconds, never over an await.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use qoe_core::admit::queue::{Ask, Prospect, Queue, Shed};
use qoe_core::flight::qoe::Target;
use qoe_core::plan::Forecast;
use qoe_core::request::analyze::Priority;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::routes::snapshot::RouteState;
use crate::shared::Shared;

/// The first one looks this often where nothing wakes it: endpoints are also freed by what is not seen from here.
const TICK: Duration = Duration::from_millis(10);

/// Why a request is not served for load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Shedding {
    /// The queue is full, of requests that go first.
    Full,
    /// Its promise cannot be kept any more, and the route refuses such requests.
    Unattainable,
}

impl Shedding {
    /// All reasons, for metrics that are made once.
    pub(crate) const ALL: [Self; 2] = [Self::Full, Self::Unattainable];

    /// The reason's name in metrics.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unattainable => "unattainable",
        }
    }
}

/// A refusal, and when to come again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    pub(crate) why: Shedding,
    pub(crate) retry_after: Duration,
}

/// The queue of one route.
pub(crate) struct Admission {
    line: Mutex<Line>,
    turn: Mutex<()>,
    /// How many wait; read without the lock.
    waiting: AtomicUsize,
    /// Prompt tokens that wait and are in no prefix cache, as far as is known.
    tokens: AtomicU64,
}

struct Line {
    queue: Queue<Arc<Waiter>>,
    /// Somebody was woken, and has not looked yet.
    woken: bool,
}

/// One that waits, as all workers see it.
struct Waiter {
    wake: Notify,
    refused: OnceLock<Refusal>,
}

impl Waiter {
    fn refuse(&self, refusal: Refusal) {
        self.refused.get_or_init(|| refusal);
        self.wake.notify_one();
    }
}

impl Admission {
    /// An empty queue for at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            line: Mutex::new(Line { queue: Queue::new(most), woken: false }),
            turn: Mutex::default(),
            waiting: AtomicUsize::new(0),
            tokens: AtomicU64::new(0),
        }
    }

    /// From now on at most so many.
    pub(crate) fn set_most(&self, most: usize) {
        self.line().queue.set_most(most);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Prompt tokens that wait to be read.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// When one that is refused should come again.
    pub(crate) fn retry_after(&self, now: Duration) -> Duration {
        self.line().queue.retry_after(now)
    }

    /// To be held while one that waits plans, until it holds its endpoints.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be room.
    pub(crate) fn nudge(&self, now: Duration) {
        if !self.is_empty() {
            self.line().wake_first(now);
        }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, line: &Line) {
        self.waiting.store(line.queue.len(), Ordering::Relaxed);
    }
}

impl Line {
    fn wake_first(&mut self, now: Duration) {
        if !self.woken
            && let Some(first) = self.queue.next(now)
        {
            first.wake.notify_one();
            self.woken = true;
        }
    }

    fn refusal(&self, why: Shedding, now: Duration) -> Refusal {
        Refusal { why, retry_after: self.queue.retry_after(now) }
    }
}

/// Where a request stands that has looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// It may plan, and holds the watch.
    First,
    /// It sleeps until it is woken.
    Behind,
    Refused(Refusal),
}

/// A request's place in the queue; it is left on drop, and the next one is woken.
pub(crate) struct Place {
    shared: Arc<Shared>,
    state: Arc<RouteState>,
    waiter: Arc<Waiter>,
    priority: Priority,
    tokens: u64,
}

impl Place {
    /// Enters the queue, with so many prompt tokens to read. In a full one somebody has to go, maybe this one.
    pub(crate) fn enter(
        shared: &Arc<Shared>,
        state: &Arc<RouteState>,
        ask: Ask,
        tokens: u64,
    ) -> Result<Self, Refusal> {
        let waiter = Arc::new(Waiter { wake: Notify::new(), refused: OnceLock::new() });
        let admission = &state.admission;
        let now = shared.now();
        let mut line = admission.line();
        if let Err(Shed(shed)) = line.queue.push(Arc::clone(&waiter), ask, now) {
            let refusal = line.refusal(Shedding::Full, now);
            if Arc::ptr_eq(&shed, &waiter) {
                return Err(refusal);
            }
            shed.refuse(refusal);
        }
        admission.counted(&line);
        drop(line);
        admission.tokens.fetch_add(tokens, Ordering::Relaxed);
        state.metrics.queued(ask.priority).inc();
        let (shared, state) = (Arc::clone(shared), Arc::clone(state));
        Ok(Self { shared, state, waiter, priority: ask.priority, tokens })
    }

    /// Where it stands on entering. Somebody else has the watch, unless this is the first.
    pub(crate) fn entered(&self) -> Standing {
        let first = self.is_first(&self.line());
        if first { Standing::First } else { Standing::Behind }
    }

    /// Where it stands, by who was woken or whose tick came: it has the watch, or passes it on. `reject`: who cannot
    /// be in time any more is refused.
    pub(crate) fn look(&self, reject: bool) -> Standing {
        let now = self.shared.now();
        let mut line = self.line();
        line.woken = false;
        if reject {
            let late = line.queue.unattainable(now);
            let refusal = line.refusal(Shedding::Unattainable, now);
            late.iter().for_each(|late| late.refuse(refusal));
            self.state.admission.counted(&line);
        }
        if let Some(refusal) = self.waiter.refused.get() {
            return Standing::Refused(*refusal);
        }
        if self.is_first(&line) {
            return Standing::First;
        }
        line.wake_first(now);
        Standing::Behind
    }

    /// Waits until it should look again.
    pub(crate) async fn wait(&self, standing: Standing) {
        let woken = self.waiter.wake.notified();
        match standing {
            Standing::First => drop(timeout(TICK, woken).await),
            Standing::Behind | Standing::Refused(_) => woken.await,
        }
    }

    /// What becomes of it by its best plan, of which this is forecast, if it still is the first one.
    pub(crate) fn weigh(&self, forecast: &Forecast, target: Target) -> Prospect {
        let mut line = self.line();
        match self.is_first(&line) {
            true => {
                let urgency = &self.state.memory.urgency;
                line.queue.weigh(forecast, target, urgency, self.shared.now())
            }
            false => Prospect::Wait,
        }
    }

    /// It goes, if it still is the first one.
    pub(crate) fn go(&self) -> bool {
        let mut line = self.line();
        let first = self.is_first(&line);
        if first {
            line.queue.take(self.shared.now());
            self.state.admission.counted(&line);
        }
        first
    }

    fn is_first(&self, line: &Line) -> bool {
        let first = line.queue.next(self.shared.now());
        first.is_some_and(|first| Arc::ptr_eq(first, &self.waiter))
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        self.state.admission.line()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let admission = &self.state.admission;
        let mut line = admission.line();
        line.queue.remove(|waiter, _| Arc::ptr_eq(waiter, &self.waiter));
        admission.counted(&line);
        // Whether it was this one that was woken is not known: to wake one too many costs a look.
        line.woken = false;
        line.wake_first(self.shared.now());
        drop(line);
        admission.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
        self.state.metrics.queued(self.priority).dec();
    }
}

#[cfg(test)]
mod tests;
