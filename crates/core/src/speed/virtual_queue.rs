//! Work that an endpoint does one piece after the other, seen from outside: prompts it reads, KV caches it fetches.
//!
//! A virtual clock says when the line will be empty. Every piece moves it on by what it is expected to take, and
//! every piece that is done corrects it by how far the expectation was off, so own work counts at once, errors do not
//! add up, and what others sent shows as delay. *Why this one*: counting requests or tokens in flight forgets how much
//! of them is done already.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::estimate::fade::nanos;

/// Pieces done within this of each other were done in one step.
const ONE_STEP: Duration = Duration::from_millis(1);
/// Share of its expected work that a line which should be empty, and is not, still has before it.
const OVERDUE: f64 = 0.5;

/// The line, with features of its work in `N` numbers.
#[derive(Debug, Default)]
pub struct VirtualQueue<const N: usize> {
    /// Nanoseconds; read without the lock.
    until: AtomicU64,
    /// Bits of the seconds of work that are expected of all pieces in the line.
    pending: AtomicU64,
    inner: Mutex<Inner<N>>,
}

#[derive(Debug, Default)]
struct Inner<const N: usize> {
    pieces: u32,
    /// Since when there has been one, if there is.
    since: Duration,
    busy: Busy,
    /// By how much the line was later than expected, over all time: seconds.
    late: f64,
    last_done: Duration,
    step: Option<Step<N>>,
}

/// How much was done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Busy {
    /// Seconds in which there was work.
    pub seconds: f64,
    /// Steps that did some.
    pub steps: f64,
}

/// Pieces that were done together, until it is known that no more were.
#[derive(Clone, Copy, Debug)]
struct Step<const N: usize> {
    work: [f64; N],
    began: Duration,
    done: Duration,
}

/// A piece of work in the line.
#[derive(Clone, Copy, Debug)]
pub struct QueueSlot<const N: usize> {
    work: [f64; N],
    seconds: f64,
    entered: Duration,
    ready: Duration,
    /// The line's lateness when it entered: what came since moved it too.
    late: f64,
}

/// What a step of one or more pieces took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TimedWork<const N: usize> {
    /// Features of the work; the first is the step itself, and 1.
    pub work: [f64; N],
    /// Seconds from its beginning to its end.
    pub seconds: f64,
}

impl<const N: usize> VirtualQueue<N> {
    /// Seconds until the line is empty, as far as is known.
    #[must_use]
    #[expect(clippy::cast_precision_loss, reason = "a line is no years long")]
    pub fn wait(&self, now: Duration) -> f64 {
        match self.until.load(Ordering::Relaxed).saturating_sub(nanos(now)) {
            0 => OVERDUE * self.pending(),
            ahead => ahead as f64 * 1e-9,
        }
    }

    /// A piece of work enters, which is expected to take so many seconds once it is its turn.
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

    /// The piece is done. Returns what the step before took, now that it is known to be over.
    pub fn done(&self, place: &QueueSlot<N>, now: Duration) -> Option<TimedWork<N>> {
        let mut inner = self.lock();
        let ready = place.ready.as_secs_f64() + inner.late - place.late;
        let late = now.as_secs_f64() - ready;
        self.leave(&mut inner, place, late);
        if inner.pieces == 0 {
            inner.busy.seconds += now.saturating_sub(inner.since).as_secs_f64();
        }
        let sample = inner.step(place, now);
        inner.last_done = now;
        sample
    }

    /// The piece is given up: what it would have taken is not waited for.
    pub fn given_up(&self, place: &QueueSlot<N>) {
        let mut inner = self.lock();
        self.leave(&mut inner, place, -place.seconds);
    }

    /// A piece of work enters whose end will not be seen: it counts for as long as it is expected to take.
    pub fn passes(&self, seconds: f64, now: Duration) {
        let mut inner = self.lock();
        inner.busy.seconds += sane(seconds);
        inner.busy.steps += 1.0;
        let until = now + Duration::from_secs_f64(self.wait(now) + sane(seconds));
        self.set(until, self.pending());
    }

    /// How much was done so far, of a piece that is being done too: a long one takes longer than those who ask for
    /// this wait between asking.
    #[must_use]
    pub fn busy(&self, now: Duration) -> Busy {
        let inner = self.lock();
        let going_on = match inner.pieces {
            0 => Duration::ZERO,
            _ => now.saturating_sub(inner.since),
        };
        Busy { seconds: inner.busy.seconds + going_on.as_secs_f64(), ..inner.busy }
    }

    /// One piece less; those behind it are ready so many seconds later than was expected.
    fn leave(&self, inner: &mut Inner<N>, place: &QueueSlot<N>, later: f64) {
        inner.pieces = inner.pieces.saturating_sub(1);
        inner.late += later;
        let shift = Duration::from_secs_f64(later.abs());
        let until = match later >= 0.0 {
            true => self.until() + shift,
            false => self.until().saturating_sub(shift),
        };
        let pending = if inner.pieces == 0 { 0.0 } else { self.pending() - place.seconds };
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
    /// Adds a piece to the step that it was done in; a step that is over is returned.
    fn step(&mut self, place: &QueueSlot<N>, now: Duration) -> Option<TimedWork<N>> {
        if let Some(step) = &mut self.step
            && now.saturating_sub(step.done) <= ONE_STEP
        {
            for (sum, work) in step.work.iter_mut().zip(place.work).skip(1) {
                *sum += work;
            }
            step.done = now;
            return None;
        }
        self.busy.steps += 1.0;
        let began = self.last_done.max(place.entered);
        let over = self.step.replace(Step { work: place.work, began, done: now })?;
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
        let places = [1.0, 2.0, 4.0].map(|work| line.enter([1.0, work], 0.1, ms(0)));
        places.iter().for_each(|place| assert_eq!(line.done(place, ms(90)), None));
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
