//! The steps by which a request gets from its arrival to its first plan.
//!
//! ```text
//! arrive ─┬─ Refuse
//!         ├─ MayBegin ─ plan ─ Outlook::at_once ─┬─ Go
//!         │                                      ▼
//!         └─ Queue ─ Queue::push ──▶ the first one: plan ─ Queue::step ─┬─ Go
//!                                       ▲                              ├─ Late: the next one is first now
//!                                       └── something ended, or a tick ┴─ Wait
//! ```
//!
//! The driver makes the plans, holds the endpoints of a request that goes before it lets another one plan, and wakes
//! the first one where there may be room.

use std::time::Duration;

use crate::admit::ask::Ask;
use crate::admit::room::{OnUnattainable, has_room};
use crate::admit::shedding::Shedding;
use crate::endpoint::pool::Pool;
use crate::memory::arrival_rates::ArrivalRates;
use crate::plan::choice::Choice;
use crate::plan::forecast::Forecast;
use crate::request::analyze::Priority;
use crate::target::Target;

/// What a request does when it arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It is refused.
    Refuse(Shedding),
    /// Nobody waits: it may begin if there is room.
    MayBegin,
    /// It waits behind others, or before them.
    Queue,
}

/// A request arrives, and `queue_is_empty` or not. `attainable` says whether its TTFT target can still be met; it is
/// asked only where the route refuses requests for which it cannot, as the answer takes a look at the prefix caches.
#[must_use]
pub fn arrive(
    rule: OnUnattainable,
    queue_is_empty: bool,
    attainable: impl FnOnce() -> bool,
) -> Arrival {
    match rule {
        OnUnattainable::Reject if !attainable() => Arrival::Refuse(Shedding::Unattainable),
        _ if queue_is_empty => Arrival::MayBegin,
        _ => Arrival::Queue,
    }
}

/// The first request in a queue looks this often where nothing wakes it: endpoints are freed by other routers' requests
/// too, which nobody reports. At half, waiting costs twice the plans; at double, room can stay empty for 20 ms.
pub const TICK: Duration = Duration::from_millis(10);

/// What a request that wants to begin does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Its plan is carried out.
    Go,
    /// It waits, and all behind it: the endpoints of its plan have enough work, and more urgent requests may come.
    Wait,
    /// The plan would break its promise: it goes behind those whose promise can be kept, and another one is next.
    Late,
}

/// The best plan that there is for a request now, and what decides whether it is good enough.
#[derive(Clone, Copy, Debug)]
pub struct Outlook<'a> {
    /// The plan. Without one, as without a forecast, there is nothing to wait for: the request learns at once that no
    /// endpoint can serve it.
    pub choice: Option<&'a Choice>,
    /// The endpoints that the plan was made over.
    pub pool: &'a Pool,
    /// What the request is promised.
    pub target: Target,
    /// How many requests of each priority come.
    pub arrivals: &'a ArrivalRates,
    /// Time since the process's epoch.
    pub now: Duration,
}

impl Outlook<'_> {
    /// Whether a request that finds the queue empty begins without entering it.
    #[must_use]
    pub fn at_once(&self, priority: Priority) -> Verdict {
        self.step(priority, |_| false)
    }

    /// What a waiting request does. `late`: the queue remembers whether a plan of it was late before.
    pub(super) fn first(&self, ask: &Ask, late: &mut bool) -> Verdict {
        let waited = self.now.saturating_sub(ask.arrived).as_secs_f64();
        self.step(ask.priority, |forecast| {
            let breaks = waited + forecast.ttft > self.target.ttft.as_secs_f64();
            // Only once: behind it are none, or only those that are late too.
            breaks && !std::mem::replace(late, true)
        })
    }

    fn step(&self, priority: Priority, steps_back: impl FnOnce(&Forecast) -> bool) -> Verdict {
        let forecast = self.choice.and_then(|choice| choice.forecast);
        let Some(forecast) = forecast.filter(|_| !self.pool.is_idle()) else { return Verdict::Go };
        if steps_back(&forecast) {
            return Verdict::Late;
        }
        let behind = self.arrivals.beyond(priority, self.now);
        match has_room(&forecast, self.target, priority, behind) {
            true => Verdict::Go,
            false => Verdict::Wait,
        }
    }
}

#[cfg(test)]
mod tests;
