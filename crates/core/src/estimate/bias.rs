//! A factor that corrects forecasts which are all off in the same direction.

use std::sync::atomic::{AtomicU64, Ordering};

/// The weight of one observation in the geometric mean: about the last 30 count. Tuned in the lab, no sensitivity
/// measured.
const GAIN: f64 = 0.03;
/// The largest ratio of measured to forecast that is believed, and the inverse of the smallest: a larger one tells of
/// an incident, not of the models. Tuned in the lab, no sensitivity measured.
const MAX_RATIO: f64 = 3.0;
/// The shortest time that is compared, in seconds: shorter ones are within the jitter of the router's own clockwork.
const MIN_SECONDS: f64 = 1e-3;

/// The factor by which measured values exceed their forecasts. A lost race loses one observation.
#[derive(Debug)]
pub struct Bias(AtomicU64);

impl Default for Bias {
    fn default() -> Self {
        Self(AtomicU64::new(1.0_f64.to_bits()))
    }
}

impl Bias {
    /// The factor, 1 before anything was observed.
    #[must_use]
    pub fn factor(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Relaxed))
    }

    /// Records one uncorrected forecast and the measured value, in seconds. Nothing is learned from values that are not
    /// finite, or not times at all.
    pub fn observe(&self, forecast: f64, measured: f64) {
        let is_time = |seconds: f64| seconds.is_finite() && seconds >= 0.0;
        if !(is_time(forecast) && is_time(measured)) {
            return;
        }
        let ratio = (measured.max(MIN_SECONDS) / forecast.max(MIN_SECONDS))
            .clamp(MAX_RATIO.recip(), MAX_RATIO);
        let factor = self.factor().powf(1.0 - GAIN) * ratio.powf(GAIN);
        self.0.store(factor.to_bits(), Ordering::Relaxed);
    }
}

/// The error of a `forecast`, relative to the `measured` value; both in seconds.
#[must_use]
pub fn relative_error(forecast: f64, measured: f64) -> f64 {
    (forecast - measured).abs() / measured.max(MIN_SECONDS)
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
    fn what_is_no_time_teaches_nothing() {
        let bias = Bias::default();
        bias.observe(0.1, 0.2);
        let learned = bias.factor();
        for seconds in [-1.0, f64::INFINITY, f64::NEG_INFINITY, f64::NAN] {
            bias.observe(seconds, 0.1);
            bias.observe(0.1, seconds);
            bias.observe(seconds, seconds);
            assert!(bias.factor() == learned, "{seconds}: {}", bias.factor());
        }
    }

    #[test]
    fn one_observation_counts_for_a_ratio_of_three_at_most() {
        let after = |forecast, measured| {
            let bias = Bias::default();
            bias.observe(forecast, measured);
            bias.factor()
        };
        let most = 3.0_f64.powf(GAIN);
        assert!((after(0.1, 0.3) - most).abs() < 1e-12, "not yet cut");
        assert!((after(0.1, 1e9) - most).abs() < 1e-12);
        assert!((after(1e9, 0.1) - most.recip()).abs() < 1e-12);
        assert!((after(0.0, 1e-3) - 1.0).abs() < 1e-12, "a millisecond is no time");
    }
}
