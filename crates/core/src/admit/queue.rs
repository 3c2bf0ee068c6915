//! The queue of one route: who is next when there is room, and who is refused when there is none.
//!
//! Engines take what they are sent in the order it came, so what is to be in another order must wait here. Three
//! classes by priority; inside a class the earliest deadline first, behind them those that cannot keep theirs any more:
//! to hurry for a promise that is broken already breaks others. Who waits long rises a class, so low priority is slow
//! and never starves. A full queue sheds the lowest, latest first.

use std::time::Duration;

use crate::admit::ask::Ask;
use crate::admit::room::{Prospect, has_room};
use crate::estimate::rate::DecayedRate;
use crate::memory::arrival_rates::ArrivalRates;
use crate::plan::forecast::Forecast;
use crate::target::Target;

/// Longest `Retry-After`.
const LONGEST_RETRY: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Waiting<T> {
    ask: Ask,
    item: T,
    /// No plan would keep its promise, when one was last made.
    late: bool,
}

impl<T> Waiting<T> {
    /// Less goes first.
    fn order(&self, now: Duration) -> (u32, bool, Duration) {
        (self.ask.class(now), self.late || !self.ask.attainable(now), self.ask.deadline())
    }
}

/// The queue.
#[derive(Debug)]
pub struct Queue<T> {
    waiting: Vec<Waiting<T>>,
    most: usize,
    taken: DecayedRate<1>,
}

/// Who does not get in: the one that came, or one that waited.
#[derive(Debug, PartialEq, Eq)]
pub struct Shed<T>(pub T);

impl<T> Queue<T> {
    /// An empty queue for at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { waiting: Vec::new(), most, taken: DecayedRate::default() }
    }

    /// From now on at most so many; who waits already stays.
    pub const fn set_most(&mut self, most: usize) {
        self.most = most;
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// A request comes. In a full queue somebody has to go: who would be served last.
    ///
    /// # Errors
    /// Who goes.
    pub fn push(&mut self, item: T, ask: Ask, now: Duration) -> Result<(), Shed<T>> {
        self.waiting.push(Waiting { ask, item, late: false });
        if self.waiting.len() <= self.most {
            return Ok(());
        }
        let last = (0..self.waiting.len()).max_by_key(|i| self.waiting[*i].order(now));
        match last {
            Some(last) => Err(Shed(self.waiting.swap_remove(last).item)),
            None => Ok(()),
        }
    }

    /// Who is next.
    #[must_use]
    pub fn next(&self, now: Duration) -> Option<&T> {
        self.first(now).map(|first| &self.waiting[first].item)
    }

    /// What becomes of the next one by its best plan, of which this is forecast.
    pub fn weigh(
        &mut self,
        forecast: &Forecast,
        target: Target,
        urgency: &ArrivalRates,
        now: Duration,
    ) -> Prospect {
        let Some(first) = self.first(now).map(|first| &mut self.waiting[first]) else {
            return Prospect::Wait;
        };
        let waited = now.saturating_sub(first.ask.arrived).as_secs_f64();
        let late = waited + forecast.ttft > target.ttft.as_secs_f64();
        if late && !std::mem::replace(&mut first.late, true) {
            return Prospect::Late;
        }
        let priority = first.ask.priority;
        match has_room(forecast, target, priority, urgency.beyond(priority, now)) {
            true => Prospect::Room,
            false => Prospect::Wait,
        }
    }

    /// Takes the next one out.
    pub fn take(&mut self, now: Duration) -> Option<T> {
        let first = self.first(now)?;
        self.taken.add([1.0], now);
        Some(self.waiting.swap_remove(first).item)
    }

    /// Takes out whom `which` says: they left, or are to be refused.
    pub fn remove(&mut self, mut which: impl FnMut(&T, &Ask) -> bool) -> Vec<T> {
        let gone = self.waiting.extract_if(.., |waiting| which(&waiting.item, &waiting.ask));
        gone.map(|waiting| waiting.item).collect()
    }

    /// Those whose promise can no longer be kept.
    pub fn unattainable(&mut self, now: Duration) -> Vec<T> {
        self.remove(|_, ask| !ask.attainable(now))
    }

    /// When to try again: once all who wait now are likely to be served.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "bounded by the queue")]
    pub fn retry_after(&self, now: Duration) -> Duration {
        let [rate] = self.taken.rates(now);
        let seconds = if rate > 0.0 { self.waiting.len() as f64 / rate } else { 1.0 };
        Duration::from_secs_f64(seconds.clamp(1.0, LONGEST_RETRY.as_secs_f64()))
    }

    fn first(&self, now: Duration) -> Option<usize> {
        (0..self.waiting.len()).min_by_key(|i| self.waiting[*i].order(now))
    }
}

#[cfg(test)]
mod tests;
