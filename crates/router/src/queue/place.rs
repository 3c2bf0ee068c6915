//! One request's place in the queue.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard, OnceLock};
use std::time::Duration;

use qoe_core::admit::ask::Ask;
use qoe_core::admit::queue::Shed;
use qoe_core::admit::room::Prospect;
use qoe_core::plan::forecast::Forecast;
use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::queue::admission::{Refusal, Shedding, Waiter, Waiters};
use crate::routes::state::RouteState;
use crate::shared::Shared;

/// The first one looks this often where nothing wakes it: endpoints are also freed by what is not seen from here.
pub(crate) const TICK: Duration = Duration::from_millis(10);

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
    shared: Arc<Shared>,
    state: Arc<RouteState>,
    pub(super) waiter: Arc<Waiter>,
    priority: Priority,
    tokens: u64,
}

impl QueuePlace {
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
                let urgency = &self.state.memory.arrivals;
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

    fn is_first(&self, line: &Waiters) -> bool {
        let first = line.queue.next(self.shared.now());
        first.is_some_and(|first| Arc::ptr_eq(first, &self.waiter))
    }

    fn line(&self) -> MutexGuard<'_, Waiters> {
        self.state.admission.line()
    }
}

impl Drop for QueuePlace {
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
