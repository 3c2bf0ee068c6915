//! The queue of one route: which request is next when there is room, and which is shed when the queue is full.
//!
//! Engines serve what they are sent in the order in which it came, so a request that must not go yet waits here.
//! Requests that can still meet their TTFT target go first: by priority, then by deadline. The others go last, because
//! a hurry for them makes more requests late, and each of these would do the same to the next: under a burst the whole
//! route ends up late. A share of the departures is theirs, the longest-waiting first, so that none waits without end.

use std::time::Duration;

use crate::admit::ask::Ask;
use crate::admit::room::OnUnattainable;
use crate::admit::shedding::{Refusal, Shed, Shedding};
use crate::admit::step::{Outlook, Verdict};
use crate::estimate::rate::DecayedRate;
use crate::request::analyze::Priority;

/// Longest `Retry-After`.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Of this many departures, one is that of a late request, where one waits.
const LATE_TURN: u32 = 20;

#[derive(Debug)]
struct Waiting<T> {
    ask: Ask,
    item: T,
    /// Its best plan would have missed its TTFT target, when it was last planned.
    late: bool,
}

impl<T> Waiting<T> {
    /// The order in which requests go, the least first.
    fn order(&self, now: Duration) -> (bool, Priority, Duration) {
        (self.is_late(now), self.ask.priority, self.ask.deadline())
    }

    fn is_late(&self, now: Duration) -> bool {
        self.late || !self.ask.attainable(now)
    }
}

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: Vec<Waiting<T>>,
    most: usize,
    taken: DecayedRate<1>,
    /// Departures since the last turn of a late request.
    since_late: u32,
}

impl<T> Queue<T> {
    /// An empty queue for at most `most` requests.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { waiting: Vec::new(), most, taken: DecayedRate::default(), since_late: 0 }
    }

    /// From now on, at most `most` wait; those that wait already stay.
    pub const fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// The number of requests that wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A request enters. A full queue sheds the one that would be served last.
    ///
    /// # Errors
    /// The one that is shed.
    pub fn push(&mut self, item: T, ask: Ask, now: Duration) -> Result<(), Shed<T>> {
        self.waiting.push(Waiting { ask, item, late: false });
        if self.waiting.len() <= self.most {
            return Ok(());
        }
        let last = (0..self.waiting.len()).max_by_key(|i| self.waiting[*i].order(now));
        let Some(last) = last else { return Ok(()) };
        let item = self.waiting.swap_remove(last).item;
        Err(Shed { item, refusal: self.refusal(Shedding::Full, now) })
    }

    /// The request that is next.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<&T> {
        self.first(now).map(|first| &self.waiting[first].item)
    }

    /// The request that `is_candidate` says has planned: what it does next, by its outlook. It waits if it is not
    /// the first one any more, and has left the queue if it goes.
    pub fn step(
        &mut self,
        is_candidate: impl FnOnce(&T) -> bool,
        outlook: &Outlook<'_>,
    ) -> Verdict {
        let Some(first) = self.first(outlook.now) else { return Verdict::Wait };
        let Waiting { ask, item, late } = &mut self.waiting[first];
        if !is_candidate(item) {
            return Verdict::Wait;
        }
        let step = outlook.first(ask, late);
        if step == Verdict::Go {
            self.taken.add([1.0], outlook.now);
            let late = self.waiting.swap_remove(first).is_late(outlook.now);
            self.since_late = if late { 0 } else { self.since_late.saturating_add(1) };
        }
        step
    }

    /// Takes out the requests that `which` is true of.
    pub fn remove(&mut self, mut which: impl FnMut(&T, &Ask) -> bool) -> Vec<T> {
        let gone = self.waiting.extract_if(.., |waiting| which(&waiting.item, &waiting.ask));
        gone.map(|waiting| waiting.item).collect()
    }

    /// Takes out those whose TTFT target cannot be met any more, where the route refuses them.
    pub fn shed_unattainable(&mut self, rule: OnUnattainable, now: Duration) -> Vec<Shed<T>> {
        if rule == OnUnattainable::BestEffort {
            return Vec::new();
        }
        let late = self.remove(|_, ask| !ask.attainable(now));
        // How long the queue is without them.
        let refusal = self.refusal(Shedding::Unattainable, now);
        late.into_iter().map(|item| Shed { item, refusal }).collect()
    }

    /// A refusal now.
    #[must_use]
    pub fn refusal(&self, why: Shedding, now: Duration) -> Refusal {
        Refusal { why, retry_after: self.retry_after(now) }
    }

    /// When to try again: once all who wait now are likely to be served.
    #[expect(clippy::cast_precision_loss, reason = "bounded by the queue")]
    fn retry_after(&self, now: Duration) -> Duration {
        let [rate] = self.taken.rates(now);
        let seconds = if rate > 0.0 { self.waiting.len() as f64 / rate } else { 1.0 };
        Duration::from_secs_f64(seconds.clamp(1.0, LONGEST_RETRY.as_secs_f64()))
    }

    fn first(&self, now: Duration) -> Option<usize> {
        if self.since_late + 1 >= LATE_TURN
            && let Some(late) = self.longest_waiting_late(now)
        {
            return Some(late);
        }
        (0..self.waiting.len()).min_by_key(|i| self.waiting[*i].order(now))
    }

    fn longest_waiting_late(&self, now: Duration) -> Option<usize> {
        let late = (0..self.waiting.len()).filter(|i| self.waiting[*i].is_late(now));
        late.min_by_key(|i| self.waiting[*i].ask.arrived)
    }
}

#[cfg(test)]
mod tests;
