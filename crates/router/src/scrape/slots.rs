//! How many endpoints are looked at together, and for how long.

use std::pin::pin;
use std::time::Duration;

use tokio::sync::Semaphore;
use tokio::time::timeout;

/// The most looks that are prompt, and the most that are slow, at the same time. Each may hold a page of
/// [`super::page::MAX_BYTES`], so that all pages together hold at most 256 MiB. At half, a cluster in which nobody
/// answers is gone through at 64 endpoints a second; at double, the memory is double.
pub(super) const SLOTS: usize = 32;
/// A look that takes longer than this is slow: it leaves its slot to another. Endpoints answer in some 10 ms, and
/// several times that under load. At half, loaded endpoints compete for the slots of slow ones; at double, those that
/// do not answer delay the others twice as long.
pub(super) const PROMPT: Duration = Duration::from_millis(250);
/// A look is given up after this. What is scraped fades within some ten seconds, so that what comes later is of no use.
pub(super) const WITHIN: Duration = Duration::from_secs(5);

/// Bounds on the looks at the same time. Slow endpoints take each other's slots, and not those of the others.
pub(super) struct Slots {
    prompt: Semaphore,
    slow: Semaphore,
}

impl Default for Slots {
    fn default() -> Self {
        Self { prompt: Semaphore::new(SLOTS), slow: Semaphore::new(SLOTS) }
    }
}

impl Slots {
    /// Waits for a slot, then for `look`; `None` if that takes too long, or if it is slow while many others are.
    pub(super) async fn hold_for<T>(&self, look: impl Future<Output = T>) -> Option<T> {
        let prompt = self.prompt.acquire().await.ok()?;
        let mut look = pin!(look);
        if let Ok(looked) = timeout(PROMPT, &mut look).await {
            return Some(looked);
        }
        let _slow = self.slow.try_acquire().ok()?;
        drop(prompt);
        timeout(WITHIN - PROMPT, look).await.ok()
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::future::pending;

    use futures::future::join_all;
    use tokio::time::{Instant, sleep};

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn no_more_than_the_slots_are_taken_at_once() {
        let (slots, now, most) = (Slots::default(), Cell::new(0), Cell::new(0));
        let look = || async {
            now.set(now.get() + 1);
            most.set(most.get().max(now.get()));
            sleep(PROMPT / 10).await;
            now.set(now.get() - 1);
        };
        let looks = (0..10 * SLOTS).map(|_| slots.hold_for(look()));
        assert!(join_all(looks).await.iter().all(Option::is_some));
        assert_eq!(most.get(), SLOTS);
    }

    #[tokio::test(start_paused = true)]
    async fn a_look_is_given_up_in_time() {
        let began = Instant::now();
        assert_eq!(Slots::default().hold_for(pending::<()>()).await, None);
        assert_eq!(began.elapsed(), WITHIN);
    }

    #[tokio::test(start_paused = true)]
    async fn slow_looks_delay_the_next_by_no_more_than_it_takes_to_see_that_they_are_slow() {
        let slots = Slots::default();
        let slow = join_all((0..2 * SLOTS).map(|_| slots.hold_for(pending::<()>())));
        let began = Instant::now();
        let prompt = async {
            slots.hold_for(async {}).await.expect("it is done at once");
            began.elapsed()
        };
        let (slow, prompt) = tokio::join!(slow, prompt);
        assert_eq!(prompt, 2 * PROMPT);
        assert!(slow.iter().all(Option::is_none));
        assert_eq!(began.elapsed(), WITHIN, "those without a slow slot were given up before");
    }
}
