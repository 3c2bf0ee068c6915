//! How much of its time an endpoint spends on prefill.

/// What an endpoint does in each second.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RecentLoad {
    /// How much it reads prompts.
    pub reading: PrefillTime,
    /// Prompts that are sent to it.
    pub arrivals: f64,
}

/// How much of its time an endpoint reads prompts. A step that reads one gives each stream beside it a token too.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct PrefillTime {
    /// Seconds.
    pub seconds: f64,
    /// Steps.
    pub steps: f64,
}

impl PrefillTime {
    /// Seconds between tokens of the streams beside it, which are `step` apart while nothing is read; `self` is of one
    /// second. In the time that is left steps follow at their own pace.
    #[must_use]
    pub fn beside(self, step: f64) -> f64 {
        let left = (1.0 - self.seconds).max(0.0);
        1.0 / (self.steps + left / step).max(LEAST_TOKENS)
    }

    /// So many times as much, as far as there is time.
    #[must_use]
    pub fn times(self, times: f64) -> Self {
        let times = times.min((MOST_READING / self.seconds).max(1.0));
        Self { seconds: self.seconds * times, steps: self.steps * times }
    }

    /// The contrary: what the steps would take alone, where tokens came `gap` seconds apart for `window` seconds of
    /// which `self` is.
    pub(crate) fn alone(self, gap: f64, window: f64) -> Option<f64> {
        let left = window - self.seconds;
        let steps = window / gap - self.steps;
        // A prompt that was given up takes back what it seemed to read.
        let known = self.seconds >= 0.0 && left > (1.0 - MOST_READING) * window;
        (known && steps >= 1.0).then_some(left / steps)
    }
}

impl std::ops::Sub for PrefillTime {
    type Output = Self;

    fn sub(self, other: Self) -> Self {
        Self { seconds: self.seconds - other.seconds, steps: self.steps - other.steps }
    }
}

/// Fewest tokens that a stream is taken to get in a second.
const LEAST_TOKENS: f64 = 0.5;

/// Share of the time that prompts are taken to need at most: streams go on beside them, however slowly.
pub(crate) const MOST_READING: f64 = 0.95;
