//! One request's place in the queue.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, OnceLock};

use qoe_core::admit::ask::Ask;
use qoe_core::admit::room::OnUnattainable;
use qoe_core::admit::shedding::Refusal;
use qoe_core::admit::step::{Outlook, TICK, Verdict};
use qoe_core::request::analyze::Priority;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::clock::Clock;
use crate::queue::admission::{Admission, Waiter, Waiters};

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
pub(crate) struct QueuePlace {
    admission: Arc<Admission>,
    clock: Clock,
    pub(super) waiter: Arc<Waiter>,
    priority: Priority,
    tokens: u64,
}

impl QueuePlace {
    /// Enters the queue. `tokens`: prompt tokens still to be read. A full queue refuses one request, perhaps this one.
    pub(crate) fn enter(
        admission: &Arc<Admission>,
        clock: Clock,
        ask: Ask,
        tokens: u64,
    ) -> Result<Self, Refusal> {
        let waiter = Arc::new(Waiter { wake: Notify::new(), refused: OnceLock::new() });
        let mut waiters = admission.waiters();
        if let Err(shed) = waiters.queue.push(Arc::clone(&waiter), ask, clock.now()) {
            if Arc::ptr_eq(&shed.item, &waiter) {
                return Err(shed.refusal);
            }
            shed.item.refuse(shed.refusal);
        }
        admission.counted(&waiters);
        drop(waiters);
        admission.tokens.fetch_add(tokens, Ordering::Relaxed);
        admission.gauge(ask.priority).inc();
        let (admission, priority) = (Arc::clone(admission), ask.priority);
        Ok(Self { admission, clock, waiter, priority, tokens })
    }

    /// Where it stands on entering. Another one has the watch, unless this is the first.
    pub(crate) fn entered(&self) -> Standing {
        let first = self.is_first(&self.waiters());
        if first { Standing::First } else { Standing::Behind }
    }

    /// Where it stands after it was woken or its tick came: it has the watch, or passes it on.
    pub(crate) fn look(&self, rule: OnUnattainable) -> Standing {
        let now = self.clock.now();
        let mut waiters = self.waiters();
        waiters.woken = false;
        for shed in waiters.queue.shed_unattainable(rule, now) {
            shed.item.refuse(shed.refusal);
        }
        self.admission.counted(&waiters);
        if let Some(refusal) = self.waiter.refused.get() {
            return Standing::Refused(*refusal);
        }
        if self.is_first(&waiters) {
            return Standing::First;
        }
        waiters.wake_first(now);
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

    /// What it does next, by the best plan that there is for it now. If it goes, it has left the queue.
    pub(crate) fn step(&self, outlook: &Outlook<'_>) -> Verdict {
        let mut waiters = self.waiters();
        let step = waiters.queue.step(|waiter| Arc::ptr_eq(waiter, &self.waiter), outlook);
        self.admission.counted(&waiters);
        step
    }

    fn is_first(&self, waiters: &Waiters) -> bool {
        let first = waiters.queue.next(self.clock.now());
        first.is_some_and(|first| Arc::ptr_eq(first, &self.waiter))
    }

    fn waiters(&self) -> MutexGuard<'_, Waiters> {
        self.admission.waiters()
    }
}

impl Drop for QueuePlace {
    fn drop(&mut self) {
        let mut waiters = self.admission.waiters();
        waiters.queue.remove(|waiter, _| Arc::ptr_eq(waiter, &self.waiter));
        self.admission.counted(&waiters);
        // Whether this one was woken is not known; to wake one too many costs a look, one too few would be a hang.
        waiters.woken = false;
        waiters.wake_first(self.clock.now());
        drop(waiters);
        self.admission.tokens.fetch_sub(self.tokens, Ordering::Relaxed);
        self.admission.gauge(self.priority).dec();
    }
}
