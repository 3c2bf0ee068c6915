//! The two phases of an end: take nothing new and finish what is there; then, at the deadline, stop anyway.
//!
//! Watches and guards may live in any thread and any runtime. Each costs one shared counter: hold one for a
//! listener or a connection, not for a token.

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Starts the drain, and waits for its end. Dropped without a start it drains with no time left.
#[derive(Debug)]
pub struct DrainTrigger(watch::Sender<Option<Instant>>);

/// Learns of the drain. As long as it is there, the drain goes on.
#[derive(Clone, Debug)]
pub struct DrainWatch(watch::Receiver<Option<Instant>>);

/// Work that the drain waits for; dropped when it is done.
#[derive(Debug)]
#[must_use = "dropping it says that the work is done"]
pub struct InFlight {
    _counted: watch::Receiver<Option<Instant>>,
}

/// How a drain ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Everything finished in time.
    All,
    /// The deadline came first.
    Deadline {
        /// Watches and guards that were still there.
        remaining: usize,
    },
}

/// A trigger, and the first watch.
#[must_use]
pub fn channel() -> (DrainTrigger, DrainWatch) {
    let (sender, receiver) = watch::channel(None);
    (DrainTrigger(sender), DrainWatch(receiver))
}

impl DrainTrigger {
    /// Tells every watch to take nothing new. What is in flight has until `deadline`; a later call moves it.
    pub fn start(&self, deadline: Instant) {
        self.0.send_replace(Some(deadline));
    }

    /// Waits until every watch and guard is dropped, or until the deadline of the last `start` before this call.
    /// Without a start there is no deadline.
    pub async fn finished(&self) -> Drained {
        let deadline = *self.0.borrow();
        let at_deadline = async {
            match deadline {
                Some(deadline) => sleep_until(deadline).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            biased;
            () = self.0.closed() => Drained::All,
            () = at_deadline => Drained::Deadline { remaining: self.remaining() },
        }
    }

    /// Watches and guards that are there now.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.0.receiver_count()
    }
}

impl DrainWatch {
    /// Resolves when the drain starts, at once if it has; gives the deadline.
    pub async fn draining(&self) -> Instant {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            // The trigger is gone, and the process with it.
            Err(_) => Instant::now(),
        }
    }

    /// True once the drain has started.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.0.borrow().is_some() || self.0.has_changed().is_err()
    }

    /// Counts a piece of work.
    pub fn in_flight(&self) -> InFlight {
        InFlight { _counted: self.0.clone() }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn in_a_minute() -> Instant {
        Instant::now() + Duration::from_secs(60)
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_with_its_last_work() {
        let (trigger, watch) = channel();
        let work = watch.in_flight();
        assert!(!watch.is_draining());
        let started = Instant::now();
        trigger.start(in_a_minute());
        assert!(watch.is_draining());
        assert_eq!(watch.draining().await, started + Duration::from_secs(60));
        drop(watch);
        assert_eq!(trigger.remaining(), 1);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(work);
        });
        assert_eq!(trigger.finished().await, Drained::All);
        assert_eq!(started.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_drain_ends_at_its_deadline_and_says_what_was_left() {
        let (trigger, watch) = channel();
        let _work = (watch.in_flight(), watch.in_flight());
        drop(watch);
        let started = Instant::now();
        trigger.start(in_a_minute());
        assert_eq!(trigger.finished().await, Drained::Deadline { remaining: 2 });
        assert_eq!(started.elapsed(), Duration::from_secs(60));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_trigger_drains() {
        let (trigger, watch) = channel();
        drop(trigger);
        assert!(watch.is_draining());
        assert_eq!(watch.draining().await, Instant::now());
    }

    #[test]
    fn workers_with_their_own_runtimes_are_drained() {
        let current_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (trigger, watch) = channel();
        let workers: Vec<_> = (0..4)
            .map(|_| {
                let watch = watch.clone();
                std::thread::spawn(move || {
                    current_thread().unwrap().block_on(async { watch.draining().await })
                })
            })
            .collect();
        drop(watch);
        current_thread().unwrap().block_on(async {
            trigger.start(in_a_minute());
            assert_eq!(trigger.finished().await, Drained::All);
        });
        for worker in workers {
            worker.join().unwrap();
        }
    }
}
