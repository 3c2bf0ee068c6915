//! A waker that keeps quiet while its task is at work anyway.
//!
//! hyper's two halves of a connection wake each other for every chunk. Both are polled here by one task, in one loop
//! that runs until neither has more: such a wake would only have the task polled once more in vain, for every token.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Wake, Waker};

use futures::task::AtomicWaker;

/// Passes wakes on to the task, or, while shut, only remembers them.
#[derive(Default)]
pub(super) struct Gate {
    task: AtomicWaker,
    shut: AtomicBool,
    woken: AtomicBool,
}

impl Wake for Gate {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.shut.load(Ordering::Relaxed) {
            self.woken.store(true, Ordering::Relaxed);
        } else {
            self.task.wake();
        }
    }
}

impl Gate {
    /// Shuts the gate, for the task that is being polled with `task`.
    pub(super) fn shut(&self, task: &Waker) {
        self.task.register(task);
        self.shut.store(true, Ordering::Relaxed);
    }

    /// Forgets the wakes until now: what they announced is about to be looked at.
    pub(super) fn forget(&self) {
        self.woken.store(false, Ordering::Relaxed);
    }

    /// Opens the gate, and passes on a wake that came since the last [`forget`](Self::forget).
    pub(super) fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
        if self.woken.swap(false, Ordering::Relaxed) {
            self.task.wake();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::upstream::fake::Wakes;

    /// A gate, the waker behind it, and the count of the task's wakes.
    fn gate() -> (Arc<Gate>, Waker, Waker, Arc<Wakes>) {
        let gate = Arc::<Gate>::default();
        let (wakes, task) = Wakes::counted();
        (Arc::clone(&gate), Waker::from(gate), task, wakes)
    }

    #[test]
    fn an_open_gate_passes_each_wake_on_once_the_task_is_known() {
        let (gate, waker, task, wakes) = gate();
        waker.wake_by_ref(); // There is no task yet.
        gate.shut(&task);
        gate.open();
        assert_eq!(wakes.take(), 0);
        waker.wake_by_ref();
        assert_eq!(wakes.take(), 1);
        // A task that was woken polls, and so registers, before it waits again.
        gate.shut(&task);
        gate.open();
        waker.wake();
        assert_eq!(wakes.take(), 1);
    }

    #[test]
    fn a_shut_gate_keeps_wakes_until_it_opens() {
        let (gate, waker, task, wakes) = gate();
        gate.shut(&task);
        waker.wake_by_ref();
        waker.wake_by_ref();
        assert_eq!(wakes.take(), 0, "the task is at work");
        gate.open();
        assert_eq!(wakes.take(), 1, "two wakes are one");
        gate.shut(&task);
        gate.open();
        assert_eq!(wakes.take(), 0, "it was passed on already");
    }

    #[test]
    fn a_wake_that_was_dealt_with_is_not_passed_on() {
        let (gate, waker, task, wakes) = gate();
        gate.shut(&task);
        waker.wake_by_ref();
        gate.forget();
        gate.open();
        assert_eq!(wakes.take(), 0);
    }

    #[test]
    fn a_wake_after_the_last_look_is_passed_on() {
        let (gate, waker, task, wakes) = gate();
        gate.shut(&task);
        waker.wake_by_ref();
        gate.forget();
        waker.wake_by_ref();
        gate.open();
        assert_eq!(wakes.take(), 1);
    }

    #[test]
    fn the_last_task_is_woken() {
        let (gate, waker, first, first_wakes) = gate();
        let (second_wakes, second) = Wakes::counted();
        for task in [&first, &second] {
            gate.shut(task);
            gate.open();
        }
        waker.wake_by_ref();
        assert_eq!((first_wakes.take(), second_wakes.take()), (0, 1));
    }
}
