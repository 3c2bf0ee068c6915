//! Why a request is refused for load, and when its client should try again.

use std::time::Duration;

/// Why a request is refused for load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Shedding {
    /// The queue is full of requests that go first.
    Full,
    /// Its TTFT target cannot be met any more, and the route refuses such requests.
    Unattainable,
}

impl Shedding {
    /// All reasons, for metrics that are made once.
    pub const ALL: [Self; 2] = [Self::Full, Self::Unattainable];

    /// The reason's name in metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::Unattainable => "unattainable",
        }
    }
}

/// A refusal for load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Why.
    pub why: Shedding,
    /// How long the client should wait before it tries again.
    pub retry_after: Duration,
}

/// A request that the queue refuses: the one that arrived, or one that waited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shed<T> {
    /// The request, as it was put into the queue.
    pub item: T,
    /// What its client is told.
    pub refusal: Refusal,
}
