//! Linear models that are learned sample by sample: recursive least squares with forgetting.
//!
//! *Why this one*: for a model that is linear in a few known features a sample costs some tens of nanoseconds, old
//! samples fade, and only N + N² numbers are stored. Errors count relative to the measured and forecast values, since a
//! millisecond matters for a short duration and not for a long one. Coefficients are costs: where the recursion passes
//! through a negative one, 0 is published.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::estimate::uncertainty::Uncertainty;

/// Samples after which a model is believed. With fewer, the prior is the better guess. Tuned in the lab, no sensitivity
/// measured.
const BELIEVED_AFTER: u32 = 6;
/// Samples after which an old one counts 1/e. Half of it follows changes sooner and noise more. Tuned in the lab, no
/// sensitivity measured.
const MEMORY: f64 = 80.0;
/// The variance of a coefficient at the start, in squared multiples of its prior, and the most that forgetting brings
/// back. Tuned in the lab, no sensitivity measured.
const START_VARIANCE: f64 = 30.0;
/// The largest multiple of its prior that a coefficient may be, which only keeps the recursion finite.
const MAX_MULTIPLE: f64 = 1e4;
/// Samples after which outliers are limited. Before, the model may still be far from all of them. Tuned in the lab, no
/// sensitivity measured.
const SETTLED_AFTER: u32 = 20;
/// The limit of an outlier, in usual errors: a larger error moves the model no more than this one (Huber's loss). One
/// stalled request is no evidence about all others, and stalls only ever make slower. Tuned in the lab, no sensitivity
/// measured.
const OUTLIER: f64 = 2.0;
/// The relative step by which one sample moves the usual error up or down. Tuned in the lab, no sensitivity measured.
const USUAL_GAIN: f64 = 0.1;
/// The least usual error, relative: without it a quiet spell would make every later sample an outlier.
const MIN_USUAL: f64 = 0.05;
/// The largest ratio of measured to expected that one sample is believed, and the inverse of the smallest. Tuned in the
/// lab, no sensitivity measured.
const MAX_RATIO: f64 = 3.0;
/// The weight of one sample in a drift. Tuned in the lab, no sensitivity measured.
const DRIFT_GAIN: f64 = 0.15;
/// The largest drift, and the inverse of the smallest: a model that is further off has to be learned anew.
const MAX_DRIFT: f64 = 10.0;
/// The weight of one sample in the moving mean of the error. Tuned in the lab, no sensitivity measured.
pub(crate) const ERROR_GAIN: f64 = 0.05;
/// The shortest duration, in seconds, to which errors are relative: shorter ones are within the jitter of the clock.
const MIN_SECONDS: f64 = 1e-4;

/// The recursion. Its coefficients are multiples of the prior, so all are about 1 whatever their units.
#[derive(Clone, Debug)]
struct Rls<const N: usize> {
    samples: u32,
    prior: [f64; N],
    multiples: [f64; N],
    uncertainty: Uncertainty<N>,
    /// The median of the relative error. *Why not the mean*: the few samples that are far off would decide it.
    usual: f64,
    /// The recent ratio of measured values to what the recursion says.
    drift: f64,
    /// The weight of one sample in the drift; 0 for a model that does not drift.
    drift_gain: f64,
}

impl<const N: usize> Rls<N> {
    fn new(prior: [f64; N]) -> Self {
        Self {
            samples: 0,
            prior,
            multiples: [1.0; N],
            uncertainty: Uncertainty::new(START_VARIANCE),
            usual: 1.0,
            drift: 1.0,
            drift_gain: 0.0,
        }
    }

    fn coefficients(&self) -> [f64; N] {
        std::array::from_fn(|i| self.multiples[i].max(0.0) * self.prior[i] * self.drift)
    }

    /// Learns one sample. Returns the error of the forecast before it, relative to `y`.
    fn learn(&mut self, x: &[f64; N], y: f64) -> f64 {
        let x: [f64; N] = std::array::from_fn(|i| x[i] * self.prior[i]);
        // Relative to the measured value alone, high noise would weigh less than low noise, and forecasts be too low.
        let forecast = dot(&self.multiples, &x);
        let weight = 1.0 / (y.max(MIN_SECONDS) * forecast.max(MIN_SECONDS)).sqrt();
        let x = x.map(|feature| feature * weight);
        let error = y * weight - dot(&self.multiples, &x);
        self.samples = self.samples.saturating_add(1);
        let settled = self.samples > SETTLED_AFTER;
        let most = OUTLIER * self.usual;
        let moved = if settled { error.clamp(-most, most) } else { error };
        self.usual *= if error.abs() > self.usual { 1.0 + USUAL_GAIN } else { 1.0 - USUAL_GAIN };
        self.usual = self.usual.clamp(MIN_USUAL, MAX_MULTIPLE);
        let gain = self.uncertainty.learn(&x, 1.0 - 1.0 / MEMORY);
        for (multiple, gain) in self.multiples.iter_mut().zip(gain) {
            *multiple = (*multiple + gain * moved).clamp(-MAX_MULTIPLE, MAX_MULTIPLE);
        }
        let expected = forecast.max(MIN_SECONDS) * self.drift;
        if settled {
            self.drift = (self.drift * believed_ratio(y, expected).powf(self.drift_gain))
                .clamp(1.0 / MAX_DRIFT, MAX_DRIFT);
        }
        (y - expected) / y.max(MIN_SECONDS)
    }
}

/// The ratio of the measured `y` to what was `expected`, within the limits in which one sample is believed.
pub(crate) fn believed_ratio(y: f64, expected: f64) -> f64 {
    (y / expected).clamp(1.0 / MAX_RATIO, MAX_RATIO)
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A model that several threads teach and read. Reading takes no lock.
#[derive(Debug)]
pub struct Learner<const N: usize> {
    rls: Mutex<Rls<N>>,
    published: [AtomicU64; N],
    samples: AtomicU32,
    error: AtomicU64,
}

impl<const N: usize> Learner<N> {
    /// A model without samples, which begins at `prior`.
    #[must_use]
    pub fn new(prior: [f64; N]) -> Self {
        Self {
            rls: Mutex::new(Rls::new(prior)),
            published: prior.map(|coefficient| AtomicU64::new(coefficient.to_bits())),
            samples: AtomicU32::new(0),
            error: AtomicU64::new(0),
        }
    }

    /// The same model with a drift, for values that are several times larger for some seconds and then as before. *Why
    /// not for all models*: it makes forecasts a little worse where samples are noisy without such spells.
    #[must_use]
    pub fn drifting(mut self) -> Self {
        self.rls.get_mut().unwrap_or_else(PoisonError::into_inner).drift_gain = DRIFT_GAIN;
        self
    }

    /// Learns that `y` seconds were measured with the features `x`. Samples that are not finite and positive are
    /// ignored.
    pub fn learn(&self, x: &[f64; N], y: f64) {
        if !(y.is_finite() && y > 0.0 && x.iter().all(|feature| feature.is_finite())) {
            return;
        }
        let mut rls = self.rls.lock().unwrap_or_else(PoisonError::into_inner);
        let error = rls.learn(x, y).abs();
        for (published, coefficient) in self.published.iter().zip(rls.coefficients()) {
            published.store(coefficient.to_bits(), Ordering::Relaxed);
        }
        let samples = self.samples.load(Ordering::Relaxed);
        let old = f64::from_bits(self.error.load(Ordering::Relaxed));
        let gain = (1.0 / f64::from(samples.saturating_add(1))).max(ERROR_GAIN);
        self.error.store((old + gain * (error - old)).to_bits(), Ordering::Relaxed);
        self.samples.store(samples.saturating_add(1), Ordering::Relaxed);
    }

    /// The number of samples learned.
    #[must_use]
    pub fn samples(&self) -> u32 {
        self.samples.load(Ordering::Relaxed)
    }

    /// The coefficients; `None` before [`BELIEVED_AFTER`] samples.
    #[must_use]
    pub fn coefficients(&self) -> Option<[f64; N]> {
        (self.samples.load(Ordering::Relaxed) >= BELIEVED_AFTER).then(|| self.latest())
    }

    /// The latest coefficients, which are the prior before the first sample.
    #[must_use]
    pub fn latest(&self) -> [f64; N] {
        std::array::from_fn(|i| f64::from_bits(self.published[i].load(Ordering::Relaxed)))
    }

    /// The moving mean of the error relative to the measured values; `None` before the first sample.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        (self.samples.load(Ordering::Relaxed) > 0)
            .then(|| f64::from_bits(self.error.load(Ordering::Relaxed)))
    }
}

/// The value of the linear model with these coefficients at `x`.
#[must_use]
pub fn predict<const N: usize>(coefficients: &[f64; N], x: &[f64; N]) -> f64 {
    dot(coefficients, x)
}

#[cfg(test)]
mod tests;
