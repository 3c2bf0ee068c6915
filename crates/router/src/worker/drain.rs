//! The drain, as the tasks of one worker see it.
//!
//! The process's own watch of the drain has a lock that all threads share. A connection's task wakes for every token
//! that it relays, and must not take that lock each time: the worker passes each step on through this type, and a
//! waiting task reads a cell of its own thread.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, Waker};

use tokio::sync::Notify;

/// How far the worker's end has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Lifecycle {
    /// Connections are accepted.
    #[default]
    Serving,
    /// Nothing new is accepted; what is in flight goes on.
    Draining,
    /// The drain's deadline has passed: what is left is closed now.
    Closing,
}

/// The worker's lifecycle, the tasks that wait for its next step, and the connections and tunnels that hold up its end.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    lifecycle: Cell<Lifecycle>,
    waiting: RefCell<BTreeMap<u64, Waker>>,
    next_key: Cell<u64>,
    open: Cell<usize>,
    none_open: Notify,
}

impl Drain {
    /// Takes the step to `lifecycle`, and wakes every task that waits for one.
    pub(crate) fn enter(&self, lifecycle: Lifecycle) {
        self.lifecycle.set(lifecycle);
        self.waiting.borrow().values().for_each(Waker::wake_by_ref);
    }

    pub(crate) fn lifecycle(&self) -> Lifecycle {
        self.lifecycle.get()
    }

    /// Resolves once the worker has come to `step` or beyond.
    pub(crate) fn reached(self: &Rc<Self>, step: Lifecycle) -> Reached {
        Reached { drain: Rc::clone(self), step, registered: None }
    }

    fn new_key(&self) -> u64 {
        self.next_key.replace(self.next_key.get() + 1)
    }

    /// Holds up the worker's end until the guard is dropped.
    pub(crate) fn hold(self: &Rc<Self>) -> DrainHold {
        self.open.set(self.open.get() + 1);
        DrainHold(Rc::clone(self))
    }

    /// The number of guards that are held.
    pub(crate) fn open(&self) -> usize {
        self.open.get()
    }

    /// Resolves once no guard is held.
    pub(crate) async fn released(&self) {
        while self.open.get() > 0 {
            self.none_open.notified().await;
        }
    }
}

/// A guard of [`Drain::hold`].
#[derive(Debug)]
pub(crate) struct DrainHold(Rc<Drain>);

impl Drop for DrainHold {
    fn drop(&mut self) {
        let open = self.0.open.get() - 1;
        self.0.open.set(open);
        if open == 0 {
            self.0.none_open.notify_one();
        }
    }
}

/// Future of [`Drain::reached`].
#[derive(Debug)]
pub(crate) struct Reached {
    drain: Rc<Drain>,
    step: Lifecycle,
    /// This future's key in the list of waiting tasks, and the task that is registered there.
    registered: Option<(u64, Waker)>,
}

impl Future for Reached {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if self.drain.lifecycle.get() >= self.step {
            return Poll::Ready(());
        }
        let registered = match &self.registered {
            Some((_, waker)) if waker.will_wake(cx.waker()) => return Poll::Pending,
            Some((key, _)) => (*key, cx.waker().clone()),
            None => (self.drain.new_key(), cx.waker().clone()),
        };
        let (key, waker) = registered.clone();
        self.drain.waiting.borrow_mut().insert(key, waker);
        self.registered = Some(registered);
        Poll::Pending
    }
}

impl Drop for Reached {
    fn drop(&mut self) {
        if let Some((key, _)) = &self.registered {
            self.drain.waiting.borrow_mut().remove(key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::task::Wake;

    use super::*;

    /// Counts how often a task was woken.
    #[derive(Default)]
    struct Wakes(AtomicUsize);

    impl Wake for Wakes {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn task() -> (Arc<Wakes>, Waker) {
        let wakes = Arc::<Wakes>::default();
        (Arc::clone(&wakes), Waker::from(wakes))
    }

    fn poll(future: &mut Reached, waker: &Waker) -> Poll<()> {
        Pin::new(future).poll(&mut Context::from_waker(waker))
    }

    #[test]
    fn each_step_wakes_all_waiting_tasks_and_resolves_what_it_reaches() {
        let drain = Rc::<Drain>::default();
        let ((wakes, waker), (other_wakes, other)) = (task(), task());
        let mut draining = drain.reached(Lifecycle::Draining);
        let mut closing = drain.reached(Lifecycle::Closing);
        assert!(
            poll(&mut draining, &waker).is_pending() && poll(&mut closing, &other).is_pending()
        );
        drain.enter(Lifecycle::Draining);
        assert!(poll(&mut draining, &waker).is_ready() && poll(&mut closing, &other).is_pending());
        let woken = other_wakes.0.load(Ordering::Relaxed);
        drain.enter(Lifecycle::Closing);
        assert_eq!(other_wakes.0.load(Ordering::Relaxed), woken + 1, "it is still registered");
        assert!(poll(&mut closing, &other).is_ready());
        assert!(
            poll(&mut drain.reached(Lifecycle::Draining), &waker).is_ready(),
            "and at once later"
        );
        assert!(wakes.0.load(Ordering::Relaxed) >= 1);
    }

    #[test]
    fn only_the_task_that_polled_last_is_woken() {
        let drain = Rc::<Drain>::default();
        let ((first_wakes, first), (second_wakes, second)) = (task(), task());
        let mut draining = drain.reached(Lifecycle::Draining);
        assert!(
            poll(&mut draining, &first).is_pending() && poll(&mut draining, &second).is_pending()
        );
        drain.enter(Lifecycle::Draining);
        let woken = [first_wakes, second_wakes].map(|wakes| wakes.0.load(Ordering::Relaxed));
        assert_eq!(woken, [0, 1]);
    }

    #[test]
    fn a_dropped_wait_leaves_nothing_behind() {
        let drain = Rc::<Drain>::default();
        let (wakes, waker) = task();
        let mut draining = drain.reached(Lifecycle::Draining);
        assert!(poll(&mut draining, &waker).is_pending());
        drop(draining);
        assert!(drain.waiting.borrow().is_empty());
        drain.enter(Lifecycle::Draining);
        assert_eq!(wakes.0.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn it_is_released_when_the_last_guard_is_dropped_and_not_before() {
        let drain = Rc::<Drain>::default();
        drain.released().await;
        let (one, two) = (drain.hold(), drain.hold());
        let mut released = std::pin::pin!(drain.released());
        let mut pending =
            async || poll_fn(|cx| Poll::Ready(released.as_mut().poll(cx).is_pending())).await;
        assert!(pending().await);
        drop(one);
        assert!(pending().await && drain.open() == 1);
        drop(two);
        assert!(!pending().await && drain.open() == 0);
    }
}
