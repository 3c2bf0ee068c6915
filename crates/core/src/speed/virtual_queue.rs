//! A queue of work at an endpoint, seen from outside: prompts that it reads, KV caches that it fetches.
//!
//! A virtual clock says when the queue will be empty. Each piece of work moves it on by the time that it is expected to
//! take, and each finished piece corrects it by the error of that expectation. So the router's own work counts at once,
//! errors do not add up, and other routers' work shows as delay. *Why not requests or tokens in flight*: they count
//! work that is done already.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::estimate::fade::nanos;
use crate::speed::busy_time::BusyTime;

/// Pieces that end within this time of each other were done in one step. Steps of engines take 5 ms and more; answers
/// of one step are sent within some 100 µs.
const ONE_STEP: Duration = Duration::from_millis(1);
/// The share of its expected work that a queue is taken to have left when it should be empty and is not. Tuned in the
/// lab, no sensitivity measured.
const OVERDUE: f64 = 0.5;

/// The queue, with `N` features of each piece of work.
#[derive(Debug, Default)]
pub struct VirtualQueue<const N: usize> {
    /// When the queue will be empty, in nanoseconds; read without the lock.
    until: AtomicU64,
    /// The expected seconds of all pieces in the queue, as the bits of an `f64`.
    pending: AtomicU64,
    inner: Mutex<Inner<N>>,
}

#[derive(Debug, Default)]
struct Inner<const N: usize> {
    pieces: u32,
    /// Since when the queue has not been empty.
    since: Duration,
    busy: BusyTime,
    /// Seconds by which pieces were later than expected, over all time.
    late: f64,
    last_done: Duration,
    step: Option<EngineStep<N>>,
}

/// Pieces that were done in one step, which may not be over.
#[derive(Clone, Copy, Debug)]
struct EngineStep<const N: usize> {
    work: [f64; N],
    began: Duration,
    done: Duration,
}

/// A piece of work in the queue.
#[derive(Clone, Copy, Debug)]
pub struct QueueSlot<const N: usize> {
    work: [f64; N],
    seconds: f64,
    entered: Duration,
    ready: Duration,
    /// The queue's lateness when the piece entered.
    late: f64,
}

/// A step of one or more pieces, and the time that it took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedWork<const N: usize> {
    /// Features of the work, summed over the pieces; the first is 1, the step itself.
    pub work: [f64; N],
    /// Seconds from its beginning to its end.
    pub seconds: f64,
}

impl<const N: usize> VirtualQueue<N> {
    /// Expected seconds until the queue is empty.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a queue is no years long")]
    pub fn wait(&self, now: Duration) -> f64 {
        match self.until.load(Ordering::Relaxed).saturating_sub(nanos(now)) {
            0 => OVERDUE * self.pending(),
            ahead => ahead as f64 * 1e-9,
        }
    }

    /// Adds a piece of work that is expected to take this many seconds.
    pub fn enter(&self, work: [f64; N], seconds: f64, now: Duration) -> QueueSlot<N> {
        let seconds = sane(seconds);
        let mut inner = self.lock();
        let ready = now + Duration::from_secs_f64(self.wait(now) + seconds);
        self.set(ready, self.pending() + seconds);
        if inner.pieces == 0 {
            inner.since = now;
        }
        inner.pieces += 1;
        QueueSlot { work, seconds, entered: now, ready, late: inner.late }
    }

    /// Removes a finished piece. Returns the step before it, if that is now known to be over.
    pub fn done(&self, slot: &QueueSlot<N>, now: Duration) -> Option<TimedWork<N>> {
        let mut inner = self.lock();
        let ready = slot.ready.as_secs_f64() + inner.late - slot.late;
        let late = now.as_secs_f64() - ready;
        self.leave(&mut inner, slot, late);
        if inner.pieces == 0 {
            inner.busy.seconds += now.saturating_sub(inner.since).as_secs_f64();
        }
        let sample = inner.step(slot, now);
        inner.last_done = now;
        sample
    }

    /// Removes a piece that will not be finished.
    pub fn given_up(&self, slot: &QueueSlot<N>) {
        let mut inner = self.lock();
        self.leave(&mut inner, slot, -slot.seconds);
    }

    /// Adds a piece of work whose end will not be seen: it counts for as long as it is expected to take.
    pub fn passes(&self, seconds: f64, now: Duration) {
        let mut inner = self.lock();
        inner.busy.seconds += sane(seconds);
        inner.busy.steps += 1.0;
        let until = now + Duration::from_secs_f64(self.wait(now) + sane(seconds));
        self.set(until, self.pending());
    }

    /// The work done so far. A piece that is being done counts up to `now`, because a long one takes longer than the
    /// windows for which callers ask.
    #[must_use]
    pub fn busy(&self, now: Duration) -> BusyTime {
        let inner = self.lock();
        let going_on = match inner.pieces {
            0 => Duration::ZERO,
            _ => now.saturating_sub(inner.since),
        };
        BusyTime { seconds: inner.busy.seconds + going_on.as_secs_f64(), ..inner.busy }
    }

    /// Removes one piece; the pieces behind it are ready this many seconds `later` than expected.
    fn leave(&self, inner: &mut Inner<N>, slot: &QueueSlot<N>, later: f64) {
        inner.pieces = inner.pieces.saturating_sub(1);
        inner.late += later;
        let shift = Duration::from_secs_f64(later.abs());
        let until = match later >= 0.0 {
            true => self.until() + shift,
            false => self.until().saturating_sub(shift),
        };
        let pending = if inner.pieces == 0 { 0.0 } else { self.pending() - slot.seconds };
        self.set(until, pending.max(0.0));
    }

    fn until(&self) -> Duration {
        Duration::from_nanos(self.until.load(Ordering::Relaxed))
    }

    fn pending(&self) -> f64 {
        f64::from_bits(self.pending.load(Ordering::Relaxed))
    }

    fn set(&self, until: Duration, pending: f64) {
        self.until.store(nanos(until), Ordering::Relaxed);
        self.pending.store(pending.to_bits(), Ordering::Relaxed);
    }

    fn lock(&self) -> MutexGuard<'_, Inner<N>> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sane(seconds: f64) -> f64 {
    if seconds.is_finite() { seconds.clamp(0.0, 3600.0) } else { 0.0 }
}

impl<const N: usize> Inner<N> {
    /// Adds a finished piece to its step. Returns the step before, if this piece is of another.
    fn step(&mut self, slot: &QueueSlot<N>, now: Duration) -> Option<TimedWork<N>> {
        if let Some(step) = &mut self.step
            && now.saturating_sub(step.done) <= ONE_STEP
        {
            for (sum, work) in step.work.iter_mut().zip(slot.work).skip(1) {
                *sum += work;
            }
            step.done = now;
            return None;
        }
        self.busy.steps += 1.0;
        let began = self.last_done.max(slot.entered);
        let over = self.step.replace(EngineStep { work: slot.work, began, done: now })?;
        let seconds = over.done.saturating_sub(over.began).as_secs_f64();
        Some(TimedWork { work: over.work, seconds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(1_000_000 + ms)
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-6
    }

    #[test]
    fn work_in_the_line_counts_at_once_and_melts_with_time() {
        let line = VirtualQueue::<2>::default();
        assert!(near(line.wait(ms(0)), 0.0));
        let _one = line.enter([1.0, 2.0], 0.2, ms(0));
        let _two = line.enter([1.0, 3.0], 0.3, ms(0));
        assert!(near(line.wait(ms(0)), 0.5) && near(line.wait(ms(400)), 0.1));
        assert!(near(line.wait(ms(900)), 0.25), "it should be empty, and nobody has said so");
    }

    #[test]
    fn what_comes_late_moves_all_behind_it() {
        let line = VirtualQueue::<2>::default();
        let one = line.enter([1.0, 2.0], 0.2, ms(0));
        let two = line.enter([1.0, 3.0], 0.3, ms(0));
        assert_eq!(line.done(&one, ms(300)), None, "the step may go on");
        assert!(near(line.wait(ms(300)), 0.3));
        let sample = line.done(&two, ms(550)).expect("the first is over");
        assert_eq!((sample.work, near(sample.seconds, 0.3)), ([1.0, 2.0], true));
        assert!(near(line.wait(ms(550)), 0.0));
    }

    #[test]
    fn pieces_of_one_step_are_one_sample() {
        let line = VirtualQueue::<2>::default();
        let slots = [1.0, 2.0, 4.0].map(|work| line.enter([1.0, work], 0.1, ms(0)));
        slots.iter().for_each(|slot| assert_eq!(line.done(slot, ms(90)), None));
        let next = line.enter([1.0, 9.0], 0.1, ms(100));
        let sample = line.done(&next, ms(200)).expect("the step is over");
        assert_eq!((sample.work, near(sample.seconds, 0.09)), ([1.0, 7.0], true));
    }

    #[test]
    fn it_is_busy_while_a_piece_is_being_done() {
        let line = VirtualQueue::<2>::default();
        let one = line.enter([1.0, 2.0], 0.2, ms(0));
        assert!(near(line.busy(ms(3000)).seconds, 3.0), "long before it is done");
        line.done(&one, ms(4000));
        let two = line.enter([1.0, 2.0], 0.2, ms(5000));
        line.done(&two, ms(5500));
        line.passes(0.25, ms(6000));
        let busy = line.busy(ms(9000));
        assert!(near(busy.seconds, 4.75) && near(busy.steps, 3.0), "{busy:?}");
    }

    #[test]
    fn what_is_given_up_is_not_waited_for() {
        let line = VirtualQueue::<2>::default();
        let one = line.enter([1.0, 2.0], 0.2, ms(0));
        let two = line.enter([1.0, 3.0], 0.3, ms(0));
        line.given_up(&two);
        assert!(near(line.wait(ms(50)), 0.15), "{}", line.wait(ms(50)));
        line.given_up(&one);
        assert!(near(line.wait(ms(60)), 0.0));
    }
}
