//! A ticket's time in its route's queue.

use std::time::Duration;

/// Whether and how long a request waits in its route's queue.
#[derive(Default)]
pub(crate) struct Queued {
    /// The request may wait there before its first plan.
    pub(crate) may: bool,
    /// When it began to wait, while it waits.
    since: Option<Duration>,
    /// How long it had waited when it last left.
    time: Duration,
}

impl Queued {
    pub(super) const fn enter(&mut self, now: Duration) {
        self.since = Some(now);
    }

    pub(super) fn leave(&mut self, now: Duration) {
        self.time = self.time(now);
        self.since = None;
    }

    /// How long it waited, or has waited until now.
    pub(super) fn time(&self, now: Duration) -> Duration {
        self.since.map_or(self.time, |since| now.saturating_sub(since))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_only_in_the_queue() {
        let second = Duration::from_secs;
        let mut queued = Queued::default();
        assert_eq!(queued.time(second(5)), second(0));
        queued.leave(second(6));
        assert_eq!(queued.time(second(7)), second(0), "it never entered");
        queued.enter(second(10));
        assert_eq!(queued.time(second(12)), second(2));
        queued.leave(second(13));
        assert_eq!(queued.time(second(20)), second(3));
        queued.leave(second(21));
        assert_eq!(queued.time(second(22)), second(3), "it had left already");
    }
}
