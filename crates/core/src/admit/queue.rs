//! The queue of one route: who is next when there is room, and who is refused when there is none.
//!
//! Engines take what they are sent in the order it came, so what is to be in another order must wait here. Three
//! classes by priority; inside a class the earliest deadline first, behind them those that cannot keep theirs any more:
//! to hurry for a promise that is broken already breaks others. Who waits long rises a class, so low priority is slow
//! and never starves. A full queue sheds the lowest, latest first.

use std::time::Duration;

use crate::endpoint::signals::Decayed;
use crate::flight::qoe::Target;
use crate::plan::Forecast;
use crate::request::analyze::Priority;

/// Who has waited for so many times its TTFT target rises one class.
const RISES_AFTER: u32 = 6;
/// And not before this.
const RISES_AFTER_AT_LEAST: Duration = Duration::from_secs(3);
/// Longest `Retry-After`.
const LONGEST_RETRY: Duration = Duration::from_secs(60);
/// What a route does with a request that cannot be given what it was promised.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OnUnattainable {
    /// It is served all the same, behind those that can.
    #[default]
    BestEffort,
    /// It is refused at once, with the time after which to try again.
    Reject,
}

/// What becomes of the next one by the best plan that there is for it now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prospect {
    /// The plan should be carried out.
    Room,
    /// It waits, and all behind it: the line before the endpoint is long enough, and who is more urgent may come.
    Wait,
    /// The plan would break its promise: it went behind those whose promise may be kept, and another one is next.
    Late,
}

/// Shares of the TTFT target that the line before an endpoint may have, by priority: short for low, longer for high, so
/// that there is always room left for who is more urgent, and endpoints still have work at hand …
const LINE: [f64; 3] = [1.0, 0.3, 0.15];
/// … and before who leaves room for others, that are more urgent.
const LINE_BEHIND: [f64; 3] = [1.0, 0.1, 0.05];
/// Times the ITL target that the time between tokens may come to be before an endpoint takes no more streams …
const ITL_TIMES: f64 = 2.0;
/// … of who leaves room for others, that are more urgent.
const ITL_TIMES_BEHIND: f64 = 1.1;

/// Whether the endpoints of a plan have room for it; `behind`: others come that are more urgent.
#[must_use]
pub fn has_room(forecast: &Forecast, target: Target, priority: Priority, behind: bool) -> bool {
    let (lines, times) = match behind {
        true => (LINE_BEHIND, ITL_TIMES_BEHIND),
        false => (LINE, ITL_TIMES),
    };
    let line = lines[priority as usize] * target.ttft.as_secs_f64();
    forecast.wait <= line && forecast.itl <= times * target.itl.as_secs_f64()
}

/// How many requests of each priority come, lately.
#[derive(Debug, Default)]
pub struct Urgency(Decayed<3>);

/// Less than this share of all that come is no reason to leave room.
const FEW: f64 = 0.03;

impl Urgency {
    /// A request comes.
    pub fn note(&self, priority: Priority, now: Duration) {
        let mut one = [0.0; 3];
        one[priority as usize] = 1.0;
        self.0.add(one, now);
    }

    /// Whether requests come that are more urgent than this priority.
    #[must_use]
    pub fn beyond(&self, priority: Priority, now: Duration) -> bool {
        let rates = self.0.rates(now);
        let more_urgent: f64 = rates[..priority as usize].iter().sum();
        more_urgent > FEW * rates.iter().sum::<f64>()
    }
}

/// What the queue knows of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ask {
    /// How urgent it is.
    pub priority: Priority,
    /// When it arrived.
    pub arrived: Duration,
    /// How long after that its first token should come.
    pub within: Duration,
    /// How long its first token takes at the least.
    pub needs: Duration,
}

/// A first token takes at least so many times what reading its prompt alone is expected to: a step or two more, and
/// forecasts err.
const AT_LEAST: f64 = 1.5;
/// Longest time that reading a prompt is taken to need: the model may have learned nonsense.
const LONGEST_READING: f64 = 3600.0;

impl Ask {
    /// A request that `arrived` with this promise, and whose prompt takes so many seconds to read.
    #[must_use]
    pub fn new(priority: Priority, arrived: Duration, target: Target, reading: f64) -> Self {
        let needs = Duration::from_secs_f64((AT_LEAST * reading).clamp(0.0, LONGEST_READING));
        Self { priority, arrived, within: target.ttft, needs }
    }

    /// When its first token should come.
    #[must_use]
    pub fn deadline(&self) -> Duration {
        self.arrived.saturating_add(self.within)
    }

    /// Whether the promise can still be kept.
    #[must_use]
    pub fn attainable(&self, now: Duration) -> bool {
        now.saturating_add(self.needs) <= self.deadline()
    }

    /// Its class, 0 the first, less one for each long wait.
    fn class(&self, now: Duration) -> u32 {
        let class = match self.priority {
            Priority::High => 0,
            Priority::Medium => 1,
            Priority::Low => 2,
        };
        let patience = self.within.saturating_mul(RISES_AFTER).max(RISES_AFTER_AT_LEAST);
        let waited = now.saturating_sub(self.arrived);
        if waited < patience {
            return class;
        }
        let risen = waited.div_duration_f64(patience) as u32;
        class - risen.min(class)
    }
}

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
    taken: Decayed<1>,
}

/// Who does not get in: the one that came, or one that waited.
#[derive(Debug, PartialEq, Eq)]
pub struct Shed<T>(pub T);

impl<T> Queue<T> {
    /// An empty queue for at most so many.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { waiting: Vec::new(), most, taken: Decayed::default() }
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
        urgency: &Urgency,
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
