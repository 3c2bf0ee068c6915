//! The start of the process's drain, told to all of its threads, and its end.
//!
//! It must not know what drains: each thread takes nothing new once it has heard of the drain, ends what is in flight
//! by the deadline, and drops its watch. A watch has a lock that all threads share, so a thread awaits it in one place.

use tokio::sync::watch;
use tokio::time::Instant;

/// Starts the drain, and waits for its end. Dropped without a start, it starts a drain whose deadline has passed.
#[derive(Debug)]
pub struct DrainTrigger(watch::Sender<Option<Instant>>);

/// Hears of the drain. The drain goes on as long as there is a watch.
#[derive(Clone, Debug)]
pub struct DrainWatch(watch::Receiver<Option<Instant>>);

/// A trigger and its first watch.
#[must_use]
pub fn channel() -> (DrainTrigger, DrainWatch) {
    let (sender, receiver) = watch::channel(None);
    (DrainTrigger(sender), DrainWatch(receiver))
}

impl DrainTrigger {
    /// Starts the drain: what is in flight has until `deadline`.
    pub fn start(&self, deadline: Instant) {
        self.0.send_replace(Some(deadline));
    }

    /// Resolves once every watch is dropped.
    pub async fn finished(&self) {
        self.0.closed().await;
    }
}

impl DrainWatch {
    /// Resolves when the drain starts, at once if it has; returns the deadline.
    pub async fn draining(&self) -> Instant {
        let mut receiver = self.0.clone();
        match receiver.wait_for(Option::is_some).await {
            Ok(deadline) => deadline.unwrap_or_else(Instant::now),
            // The trigger is gone, and the process with it.
            Err(_) => Instant::now(),
        }
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
    async fn a_drain_ends_with_its_last_watch() {
        let (trigger, watch) = channel();
        let other = watch.clone();
        let started = Instant::now();
        trigger.start(in_a_minute());
        assert_eq!(watch.draining().await, started + Duration::from_secs(60));
        drop(watch);
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(5)).await;
            drop(other);
        });
        trigger.finished().await;
        assert_eq!(started.elapsed(), Duration::from_secs(5));
    }

    #[tokio::test(start_paused = true)]
    async fn a_lost_trigger_drains() {
        let (trigger, watch) = channel();
        drop(trigger);
        assert_eq!(watch.draining().await, Instant::now());
    }

    #[test]
    fn threads_with_their_own_runtimes_are_drained() {
        let current_thread = || tokio::runtime::Builder::new_current_thread().enable_all().build();
        let (trigger, watch) = channel();
        let threads: Vec<_> = (0..4)
            .map(|_| {
                let watch = watch.clone();
                std::thread::spawn(move || {
                    current_thread().unwrap().block_on(async { watch.draining().await })
                })
            })
            .collect();
        drop(watch);
        let deadline = current_thread().unwrap().block_on(async {
            let deadline = in_a_minute();
            trigger.start(deadline);
            trigger.finished().await;
            deadline
        });
        for thread in threads {
            assert_eq!(thread.join().unwrap(), deadline);
        }
    }
}
