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
    /// Shut, for the task that is being polled with `task`.
    pub(super) fn shut(&self, task: &Waker) {
        self.task.register(task);
        self.shut.store(true, Ordering::Relaxed);
    }

    /// Wakes until now are dealt with.
    pub(super) fn forget(&self) {
        self.woken.store(false, Ordering::Relaxed);
    }

    /// Opens; a wake that was not dealt with is passed on.
    pub(super) fn open(&self) {
        self.shut.store(false, Ordering::Relaxed);
        if self.woken.swap(false, Ordering::Relaxed) {
            self.task.wake();
        }
    }
}
