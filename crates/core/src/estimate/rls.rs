//! Linear models that are learned while requests pass: recursive least squares with forgetting.
//!
//! *Why this one*: the models of an engine are linear in a few known features (see [`crate::speed`]), every sample
//! costs some tens of nanoseconds, old samples fade, and nothing is stored but N + N² numbers. Errors are weighed
//! relative to what was measured and forecast, since a millisecond off means much for a short prompt and nothing for a long one.
//! Coefficients are costs: where the recursion passes through negative ones, 0 is published.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::estimate::uncertainty::Uncertainty;

/// Samples before a model is believed.
const BELIEVED_AFTER: u32 = 6;
/// A sample counts 1/e after so many others.
const MEMORY: f64 = 80.0;
/// Uncertainty of a coefficient at the start, and the most that forgetting may bring back.
const UNCERTAIN: f64 = 30.0;
/// Times the prior that a coefficient may be at most.
const FARTHEST: f64 = 1e4;
/// Samples after which a model may be surprised.
const SETTLED_AFTER: u32 = 20;
/// A sample further off than so many times what is usual moves the model no more than that: one stalled request is no
/// evidence about all others, and stalls only ever make slower. (Huber's loss.)
const SURPRISE: f64 = 2.0;
/// How much one sample moves what is usual, and the least that it is taken to be.
const USUAL_GAIN: f64 = 0.1;
const LEAST_USUAL: f64 = 0.05;
/// One sample is believed to be no more than so many times what was expected, or so many times less.
const MOST_TIMES: f64 = 3.0;
/// How much one sample moves a drift, and how far a drift goes at most.
const DRIFT_GAIN: f64 = 0.15;
const FARTHEST_DRIFT: f64 = 10.0;
/// Gain of the moving error.
pub(crate) const ERROR_GAIN: f64 = 0.05;
/// Weights are relative to what was measured, but never to less than this: seconds.
const LEAST: f64 = 1e-4;

/// The recursion itself. Coefficients are multiples of the prior, so that all are about 1 whatever their units.
#[derive(Clone, Debug)]
struct Rls<const N: usize> {
    samples: u32,
    prior: [f64; N],
    multiples: [f64; N],
    uncertainty: Uncertainty<N>,
    /// Half of the samples are further off than this. *Why not their mean*: the few that are far off would make it.
    usual: f64,
    /// How many times what the recursion says was measured lately, and how much one sample moves that.
    drift: f64,
    drifts: f64,
}

impl<const N: usize> Rls<N> {
    fn new(prior: [f64; N]) -> Self {
        Self {
            samples: 0,
            prior,
            multiples: [1.0; N],
            uncertainty: Uncertainty::new(UNCERTAIN),
            usual: 1.0,
            drift: 1.0,
            drifts: 0.0,
        }
    }

    fn coefficients(&self) -> [f64; N] {
        std::array::from_fn(|i| self.multiples[i].max(0.0) * self.prior[i] * self.drift)
    }

    /// Takes one sample in. Returns the error before it, relative to `y`.
    fn learn(&mut self, x: &[f64; N], y: f64) -> f64 {
        let x: [f64; N] = std::array::from_fn(|i| x[i] * self.prior[i]);
        // By what was measured alone, high noise would weigh less than low noise, and forecasts be too low.
        let forecast = dot(&self.multiples, &x);
        let weight = 1.0 / (y.max(LEAST) * forecast.max(LEAST)).sqrt();
        let x = x.map(|feature| feature * weight);
        let error = y * weight - dot(&self.multiples, &x);
        self.samples = self.samples.saturating_add(1);
        let settled = self.samples > SETTLED_AFTER;
        let most = SURPRISE * self.usual;
        let moved = if settled { error.clamp(-most, most) } else { error };
        self.usual *= if error.abs() > self.usual { 1.0 + USUAL_GAIN } else { 1.0 - USUAL_GAIN };
        self.usual = self.usual.clamp(LEAST_USUAL, FARTHEST);
        let gain = self.uncertainty.learn(&x, 1.0 - 1.0 / MEMORY);
        for (multiple, gain) in self.multiples.iter_mut().zip(gain) {
            *multiple = (*multiple + gain * moved).clamp(-FARTHEST, FARTHEST);
        }
        let expected = forecast.max(LEAST) * self.drift;
        if settled {
            self.drift = (self.drift * times(y, expected).powf(self.drifts))
                .clamp(1.0 / FARTHEST_DRIFT, FARTHEST_DRIFT);
        }
        (y - expected) / y.max(LEAST)
    }
}

/// How many times what was `expected` was measured, as far as one sample is believed.
pub(crate) fn times(y: f64, expected: f64) -> f64 {
    (y / expected).clamp(1.0 / MOST_TIMES, MOST_TIMES)
}

fn dot<const N: usize>(a: &[f64; N], b: &[f64; N]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// A model that all workers teach and read. Reading takes no lock.
#[derive(Debug)]
pub struct Learner<const N: usize> {
    rls: Mutex<Rls<N>>,
    published: [AtomicU64; N],
    samples: AtomicU32,
    error: AtomicU64,
}

impl<const N: usize> Learner<N> {
    /// A model that knows nothing yet, and begins at `prior`.
    #[must_use]
    pub fn new(prior: [f64; N]) -> Self {
        Self {
            rls: Mutex::new(Rls::new(prior)),
            published: prior.map(|coefficient| AtomicU64::new(coefficient.to_bits())),
            samples: AtomicU32::new(0),
            error: AtomicU64::new(0),
        }
    }

    /// The same, but what is measured may be some times slower for a few seconds and then as before: what came last
    /// counts most. *Why not all models*: it costs a little where samples are noisy and do not come in such spells.
    #[must_use]
    pub fn drifting(mut self) -> Self {
        self.rls.get_mut().unwrap_or_else(PoisonError::into_inner).drifts = DRIFT_GAIN;
        self
    }

    /// Takes one sample in: `y` seconds were measured where the features were `x`. Nonsense is ignored.
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

    /// How many samples it has learned from.
    #[must_use]
    pub fn samples(&self) -> u32 {
        self.samples.load(Ordering::Relaxed)
    }

    /// The coefficients, once they are believed.
    #[must_use]
    pub fn coefficients(&self) -> Option<[f64; N]> {
        (self.samples.load(Ordering::Relaxed) >= BELIEVED_AFTER).then(|| self.latest())
    }

    /// The coefficients as they are, be it the prior.
    #[must_use]
    pub fn latest(&self) -> [f64; N] {
        std::array::from_fn(|i| f64::from_bits(self.published[i].load(Ordering::Relaxed)))
    }

    /// Moving mean of the error relative to what was measured; `None` before anything was.
    #[must_use]
    pub fn error(&self) -> Option<f64> {
        (self.samples.load(Ordering::Relaxed) > 0)
            .then(|| f64::from_bits(self.error.load(Ordering::Relaxed)))
    }
}

/// What a model of these coefficients says.
#[must_use]
pub fn predict<const N: usize>(coefficients: &[f64; N], x: &[f64; N]) -> f64 {
    dot(coefficients, x)
}

#[cfg(test)]
mod tests;
