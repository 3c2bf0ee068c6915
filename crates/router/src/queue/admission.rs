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

use qoe_core::admit::queue::Queue;
use tokio::sync::Notify;

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
    line: Mutex<Waiters>,
    turn: Mutex<()>,
    /// How many wait; read without the lock.
    waiting: AtomicUsize,
    /// Prompt tokens that wait and are in no prefix cache, as far as is known.
    pub(crate) tokens: AtomicU64,
}

pub(crate) struct Waiters {
    pub(crate) queue: Queue<Arc<Waiter>>,
    /// Somebody was woken, and has not looked yet.
    pub(crate) woken: bool,
}

/// One that waits, as all workers see it.
pub(crate) struct Waiter {
    pub(crate) wake: Notify,
    pub(crate) refused: OnceLock<Refusal>,
}

impl Waiter {
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused.get_or_init(|| refusal);
        self.wake.notify_one();
    }
}

impl Admission {
    /// An empty queue for at most so many.
    pub(crate) fn new(most: usize) -> Self {
        Self {
            line: Mutex::new(Waiters { queue: Queue::new(most), woken: false }),
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

    pub(crate) fn line(&self) -> MutexGuard<'_, Waiters> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn counted(&self, line: &Waiters) {
        self.waiting.store(line.queue.len(), Ordering::Relaxed);
    }
}

impl Waiters {
    pub(crate) fn wake_first(&mut self, now: Duration) {
        if !self.woken
            && let Some(first) = self.queue.next(now)
        {
            first.wake.notify_one();
            self.woken = true;
        }
    }

    pub(crate) fn refusal(&self, why: Shedding, now: Duration) -> Refusal {
        Refusal { why, retry_after: self.queue.retry_after(now) }
    }
}

#[cfg(test)]
mod tests;
