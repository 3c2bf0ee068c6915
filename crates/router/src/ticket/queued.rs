//! A ticket's time in the route's queue.

use std::time::Duration;

/// Its time in the route's queue.
#[derive(Default)]
pub(crate) struct Queued {
    /// It may wait there before its first plan.
    pub(crate) may: bool,
    pub(crate) since: Option<Duration>,
    pub(crate) time: Duration,
}
