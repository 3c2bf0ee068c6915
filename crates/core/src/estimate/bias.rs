//! By how much forecasts have been off of late, all in the same direction: what is told of the next ones is corrected
//! by it.
//!
//! The models are of steps one after the other. What they leave out is off for all requests alike: the step that is
//! going on when a prompt comes, prompts that share one. Plans are not chosen by what is told, as it changes nothing
//! about which is better; and what holds a request back is set by what models say.

use std::sync::atomic::{AtomicU64, Ordering};

/// How much the latest one counts.
const GAIN: f64 = 0.03;
/// One that was off by more than this is taken for one that was off by this: something happened.
const MOST: f64 = 3.0;
/// What is shorter is not told from nothing; seconds.
const LEAST: f64 = 1e-3;

/// A factor: what is forecast becomes, times this, what is likely to be seen. A lost race loses one observation.
#[derive(Debug)]
pub struct Bias(AtomicU64);

impl Default for Bias {
    fn default() -> Self {
        Self(AtomicU64::new(1.0_f64.to_bits()))
    }
}

impl Bias {
    /// The factor.
    #[must_use]
    pub fn factor(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// So many seconds were forecast, before any correction, and so many it was.
    pub fn observe(&self, forecast: f64, was: f64) {
        let off = (was.max(LEAST) / forecast.max(LEAST)).clamp(MOST.recip(), MOST);
        if off.is_finite() {
            let factor = self.factor().powf(1.0 - GAIN) * off.powf(GAIN);
            self.0.store(factor.to_bits(), Ordering::Relaxed);
        }
    }
}

/// How far a `forecast` is off, relative to what it `was`; both in seconds.
#[must_use]
pub fn relative_error(forecast: f64, was: f64) -> f64 {
    (forecast - was).abs() / was.max(LEAST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_off_the_same_way_again_and_again_is_corrected_for() {
        let bias = Bias::default();
        (0..200).for_each(|_| bias.observe(0.1, 0.125));
        assert!((bias.factor() - 1.25).abs() < 0.01, "{}", bias.factor());
        bias.observe(0.1, 100.0);
        assert!(bias.factor() < 1.3, "one alone says little");
    }

    #[test]
    fn nonsense_changes_little_and_breaks_nothing() {
        let bias = Bias::default();
        for seconds in [0.0, -1.0, f64::INFINITY, f64::NAN] {
            bias.observe(seconds, 0.1);
            bias.observe(0.1, seconds);
            bias.observe(seconds, seconds);
        }
        assert!((0.5..2.0).contains(&bias.factor()), "{}", bias.factor());
    }
}
