//! When to publish: a burst of changes becomes one publication, and the loss of an endpoint is published at once.

use std::time::Duration;

/// A change is published after this long without another one. A rolling update changes pods more often than this; at
/// double, a new endpoint is used 50 ms later.
const QUIET: Duration = Duration::from_millis(50);
/// A change is published at the latest this long after it.
const AT_MOST: Duration = Duration::from_millis(500);
/// The loss of an endpoint waits this long for others that come with it: until then requests are sent in vain.
const URGENT: Duration = Duration::from_millis(5);
/// When only the versions changed, they are published within this.
const VERSIONS_WITHIN: Duration = Duration::from_secs(1);
/// Shortest time between two publications.
const APART: Duration = Duration::from_millis(50);

/// How soon routers should know of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ChangeUrgency {
    /// Nothing changed.
    None,
    /// Only versions changed: by them, routers tell which of two states is older.
    Late,
    /// After [`QUIET`].
    Soon,
    /// At once: an endpoint is lost, and requests would be sent in vain.
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
    /// Records a change.
    pub(crate) fn changed(&mut self, urgency: ChangeUrgency, now: Duration) {
        match urgency {
            ChangeUrgency::None => return,
            ChangeUrgency::Late if self.due.is_some() => return,
            ChangeUrgency::Late => {
                self.due = Some(now + VERSIONS_WITHIN);
                return;
            }
            ChangeUrgency::Soon => {}
            ChangeUrgency::Now => {
                self.urgent.get_or_insert(now + URGENT);
            }
        }
        let first = *self.first.get_or_insert(now);
        let quiet = (now + QUIET).min(first + AT_MOST);
        let wanted = self.urgent.map_or(quiet, |urgent| urgent.min(quiet));
        let earliest = self.published.map_or(Duration::ZERO, |published| published + APART);
        self.due = Some(wanted.max(earliest));
    }

    /// When to publish; `None` while nothing has changed.
    pub(crate) const fn due(&self) -> Option<Duration> {
        self.due
    }

    /// Records that all changes so far are published.
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
        fold.changed(ChangeUrgency::None, ms(0));
        assert_eq!(fold.due(), None);
        fold.changed(ChangeUrgency::Soon, ms(0));
        assert_eq!(fold.due(), Some(ms(50)));
        fold.changed(ChangeUrgency::Soon, ms(40));
        assert_eq!(fold.due(), Some(ms(90)));
        for at in (50..500).step_by(10) {
            fold.changed(ChangeUrgency::Soon, ms(at));
        }
        assert_eq!(fold.due(), Some(ms(500)));
        fold.published(ms(500));
        assert_eq!(fold.due(), None);
    }

    #[test]
    fn who_leaves_is_told_at_once_and_not_delayed_by_what_follows() {
        let mut fold = Fold::default();
        fold.changed(ChangeUrgency::Soon, ms(0));
        fold.changed(ChangeUrgency::Now, ms(20));
        assert_eq!(fold.due(), Some(ms(25)));
        fold.changed(ChangeUrgency::Soon, ms(24));
        assert!(fold.due() <= Some(ms(25)), "{:?}", fold.due());
    }

    #[test]
    fn what_was_read_is_told_by_and_by_and_delays_nothing() {
        let mut fold = Fold::default();
        fold.changed(ChangeUrgency::Late, ms(0));
        fold.changed(ChangeUrgency::Late, ms(900));
        assert_eq!(fold.due(), Some(ms(1000)));
        fold.changed(ChangeUrgency::Soon, ms(910));
        assert_eq!(fold.due(), Some(ms(960)));
        fold.changed(ChangeUrgency::Late, ms(920));
        assert_eq!(fold.due(), Some(ms(960)));
    }

    #[test]
    fn a_storm_of_departures_is_published_so_often_and_not_more() {
        let mut fold = Fold::default();
        fold.published(ms(100));
        fold.changed(ChangeUrgency::Now, ms(101));
        assert_eq!(fold.due(), Some(ms(150)));
    }
}
