//! The time that an endpoint is busy with prefill, and what is left of it for streams.

/// What an endpoint does per second, lately.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecentLoad {
    /// The time in each second that it is busy with prefill.
    pub reading: BusyTime,
    /// Prompts that are sent to it per second.
    pub arrivals: f64,
}

/// Time in which an endpoint works through a queue, and the steps that this takes. A step that reads a prompt also
/// gives each stream beside it a token.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct BusyTime {
    /// Seconds with work to do.
    pub seconds: f64,
    /// Steps that did some of it.
    pub steps: f64,
}

impl BusyTime {
    /// The ITL of streams beside this work, in seconds, where it is `step` without it. `self` is per second. In the
    /// time that is left, steps follow at their own pace.
    #[must_use]
    pub fn beside(self, step: f64) -> f64 {
        let left = (1.0 - self.seconds).max(0.0);
        1.0 / (self.steps + left / step).max(MIN_TOKENS)
    }

    /// `times` as much work, but no more than fits into [`MAX_BUSY`].
    #[must_use]
    pub fn times(self, times: f64) -> Self {
        let times = times.min((MAX_BUSY / self.seconds).max(1.0));
        Self { seconds: self.seconds * times, steps: self.steps * times }
    }

    /// The same work within [`MAX_BUSY`].
    pub(crate) fn capped(self) -> Self {
        Self { seconds: self.seconds.min(MAX_BUSY), ..self }
    }

    /// The share of time that is left for other work, never less than `1 - MAX_BUSY`.
    pub(crate) fn rest(self) -> f64 {
        1.0 - self.capped().seconds
    }

    /// The inverse of [`beside`](Self::beside): the ITL without this work, in seconds, where tokens came `gap` seconds
    /// apart for a `window` of seconds that holds it. `None` where the window does not tell.
    pub(crate) fn alone(self, gap: f64, window: f64) -> Option<f64> {
        let left = window - self.seconds;
        let steps = window / gap - self.steps;
        // A prompt that is given up takes back the time that it seemed to take, so the work can be negative.
        let known = self.seconds >= 0.0 && left > (1.0 - MAX_BUSY) * window;
        (known && steps >= 1.0).then_some(left / steps)
    }
}

impl std::ops::Sub for BusyTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { seconds: self.seconds - other.seconds, steps: self.steps - other.steps }
    }
}

/// The fewest tokens per second that a stream is taken to get beside any work, so that no ITL is infinite. Tuned in the
/// lab, no sensitivity measured.
const MIN_TOKENS: f64 = 0.5;

/// The largest share of time that prefill is taken to need: streams go on beside it, however slowly, and costs divided
/// by the rest stay finite. Tuned in the lab, no sensitivity measured.
const MAX_BUSY: f64 = 0.95;
