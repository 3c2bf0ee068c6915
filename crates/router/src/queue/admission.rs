//! The queue of one route in this router, where requests wait until an endpoint has room for them.
//!
//! All workers share it. Only the first request may plan. It plans on its own worker's thread, and then either goes or
//! stays where it is, so nothing of a request ever moves between threads.
//!
//! - *Which request is woken.* The first one holds the watch: it looks every [`TICK`](qoe_core::admit::step::TICK), or when
//!   it is nudged, which happens where room may have come: a prompt was read, a request ended, the one before it has
//!   gone. All others sleep. If the watch finds that another one is first by now, it wakes that one and sleeps. So one
//!   event wakes one request, and an empty queue costs nothing.
//! - *No wake-up is lost.* In a queue that is not empty, a request was woken and has not looked yet, or its tick is
//!   running: one that leaves, in whatever way, wakes the next. A nudge that comes too early for a request that is just
//!   entering is made good by its tick.
//! - *Room is seen as it is.* One request at a time plans while others wait ([`Admission::turn`]), and holds its
//!   endpoints before the next one looks. The locks are held for microseconds, never over an await.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use prometheus_client::metrics::gauge::Gauge;
use qoe_core::admit::queue::Queue;
use qoe_core::admit::shedding::{Refusal, Shedding};
use qoe_core::request::analyze::Priority;
use tokio::sync::Notify;

/// The queue of one route.
pub(crate) struct Admission {
    waiters: Mutex<Waiters>,
    turn: Mutex<()>,
    /// How many wait; read without the lock.
    waiting: AtomicUsize,
    /// Prompt tokens that wait and are in no prefix cache, as far as is known.
    pub(super) tokens: AtomicU64,
    /// How many wait, by priority.
    gauges: [Gauge; 3],
}

pub(super) struct Waiters {
    pub(super) queue: Queue<Arc<Waiter>>,
    /// A request was woken, and has not looked yet.
    pub(super) woken: bool,
}

/// One that waits, as all workers see it.
pub(super) struct Waiter {
    pub(super) wake: Notify,
    pub(super) refused: OnceLock<Refusal>,
}

impl Waiter {
    pub(super) fn refuse(&self, refusal: Refusal) {
        self.refused.get_or_init(|| refusal);
        self.wake.notify_one();
    }
}

impl Admission {
    /// An empty queue for at most `most` requests; `gauges` show how many wait, by priority.
    pub(crate) fn new(most: usize, gauges: [Gauge; 3]) -> Self {
        Self {
            gauges,
            waiters: Mutex::new(Waiters { queue: Queue::new(most), woken: false }),
            turn: Mutex::default(),
            waiting: AtomicUsize::new(0),
            tokens: AtomicU64::new(0),
        }
    }

    /// Changes the maximum number of requests that wait. Those that wait already stay.
    pub(crate) fn set_most(&self, most: usize) {
        self.waiters().queue.set_most(most);
    }

    /// Whether nobody waits.
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::Relaxed) == 0
    }

    /// Prompt tokens that wait to be read.
    pub(crate) fn tokens(&self) -> u64 {
        self.tokens.load(Ordering::Relaxed)
    }

    /// A refusal, for a request that does not enter.
    pub(crate) fn refusal(&self, why: Shedding, now: Duration) -> Refusal {
        self.waiters().queue.refusal(why, now)
    }

    /// To be held while one that waits plans, until it holds its endpoints.
    pub(crate) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// There may be room.
    pub(crate) fn nudge(&self, now: Duration) {
        if !self.is_empty() {
            self.waiters().wake_first(now);
        }
    }

    pub(super) fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.waiters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn counted(&self, waiters: &Waiters) {
        self.waiting.store(waiters.queue.len(), Ordering::Relaxed);
    }

    pub(super) const fn gauge(&self, priority: Priority) -> &Gauge {
        &self.gauges[priority as usize]
    }
}

impl Waiters {
    pub(super) fn wake_first(&mut self, now: Duration) {
        if !self.woken
            && let Some(first) = self.queue.next(now)
        {
            first.wake.notify_one();
            self.woken = true;
        }
    }
}

#[cfg(test)]
mod tests;
