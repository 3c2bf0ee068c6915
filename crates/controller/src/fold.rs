//! When to publish: bursts of changes fold into one, and an endpoint that leaves is not kept waiting.

use std::time::Duration;

/// A change is published after this much quiet.
const QUIET: Duration = Duration::from_millis(50);
/// But not later than this after the first change.
const AT_MOST: Duration = Duration::from_millis(500);
/// A change that takes an endpoint away waits only for those that come with it.
const URGENT: Duration = Duration::from_millis(5);
/// How far the history was read is told by then, though nothing came of it.
const BY_AND_BY: Duration = Duration::from_secs(1);
/// Between two publications.
const APART: Duration = Duration::from_millis(50);

/// How soon routers should know of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Urgency {
    /// Nothing changed.
    None,
    /// Nothing but how far the history was read: by that, routers tell which of two states is older.
    Late,
    /// When it has become quiet.
    Soon,
    /// At once: requests would be sent in vain.
    Now,
}

/// The changes since the last publication.
#[derive(Debug, Default)]
pub(crate) struct Fold {
    first: Option<Duration>,
    urgent: Option<Duration>,
    due: Option<Duration>,
    published: Option<Duration>,
}

impl Fold {
    /// Something changed.
    pub(crate) fn changed(&mut self, urgency: Urgency, now: Duration) {
        match urgency {
            Urgency::None => return,
            Urgency::Late if self.due.is_some() => return,
            Urgency::Late => {
                self.due = Some(now + BY_AND_BY);
                return;
            }
            Urgency::Soon => {}
            Urgency::Now => {
                self.urgent.get_or_insert(now + URGENT);
            }
        }
        let first = *self.first.get_or_insert(now);
        let quiet = (now + QUIET).min(first + AT_MOST);
        let wanted = self.urgent.map_or(quiet, |urgent| urgent.min(quiet));
        let earliest = self.published.map_or(Duration::ZERO, |published| published + APART);
        self.due = Some(wanted.max(earliest));
    }

    /// When to publish, if there is anything.
    pub(crate) const fn due(&self) -> Option<Duration> {
        self.due
    }

    /// All changes so far are published.
    pub(crate) fn published(&mut self, now: Duration) {
        *self = Self { published: Some(now), ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn quiet_is_awaited_but_not_for_ever() {
        let mut fold = Fold::default();
        fold.changed(Urgency::None, ms(0));
        assert_eq!(fold.due(), None);
        fold.changed(Urgency::Soon, ms(0));
        assert_eq!(fold.due(), Some(ms(50)));
        fold.changed(Urgency::Soon, ms(40));
        assert_eq!(fold.due(), Some(ms(90)));
        for at in (50..500).step_by(10) {
            fold.changed(Urgency::Soon, ms(at));
        }
        assert_eq!(fold.due(), Some(ms(500)));
        fold.published(ms(500));
        assert_eq!(fold.due(), None);
    }

    #[test]
    fn who_leaves_is_told_at_once_and_not_delayed_by_what_follows() {
        let mut fold = Fold::default();
        fold.changed(Urgency::Soon, ms(0));
        fold.changed(Urgency::Now, ms(20));
        assert_eq!(fold.due(), Some(ms(25)));
        fold.changed(Urgency::Soon, ms(24));
        assert!(fold.due() <= Some(ms(25)), "{:?}", fold.due());
    }

    #[test]
    fn what_was_read_is_told_by_and_by_and_delays_nothing() {
        let mut fold = Fold::default();
        fold.changed(Urgency::Late, ms(0));
        fold.changed(Urgency::Late, ms(900));
        assert_eq!(fold.due(), Some(ms(1000)));
        fold.changed(Urgency::Soon, ms(910));
        assert_eq!(fold.due(), Some(ms(960)));
        fold.changed(Urgency::Late, ms(920));
        assert_eq!(fold.due(), Some(ms(960)));
    }

    #[test]
    fn a_storm_of_departures_is_published_so_often_and_not_more() {
        let mut fold = Fold::default();
        fold.published(ms(100));
        fold.changed(Urgency::Now, ms(101));
        assert_eq!(fold.due(), Some(ms(150)));
    }
}
