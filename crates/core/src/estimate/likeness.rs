//! The model of one endpoint among many that are much alike.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::estimate::rls::{ERROR_GAIN, Learner, predict, times};

/// How much one sample moves a factor.
const FACTOR_GAIN: f64 = 0.03;

/// A factor this near to 1 is chance.
const ALIKE: f64 = 0.25;

/// A model of its own is believed where it errs less than this share of what the common one, with its factor, does.
const CLEARLY_BETTER: f64 = 0.4;

/// A model of one among many that are much alike: the common model, times a factor where it is clearly faster or
/// slower, or a model of its own where that is clearly better. *Why not its own at once*: what a few noisy samples tell
/// of one would make it look better or worse than its equals, and all requests would follow.
#[derive(Debug)]
pub struct Likeness<const N: usize> {
    own: Learner<N>,
    factor: AtomicU64,
    error: AtomicU64,
}

impl<const N: usize> Likeness<N> {
    /// Nothing is known yet.
    #[must_use]
    pub fn new(prior: [f64; N]) -> Self {
        Self {
            own: Learner::new(prior),
            factor: AtomicU64::new(1.0_f64.to_bits()),
            error: AtomicU64::new(0),
        }
    }

    /// The same, with a model of its own that drifts: see [`Learner::drifting`].
    #[must_use]
    pub fn drifting(self) -> Self {
        Self { own: self.own.drifting(), ..self }
    }

    /// Takes one sample in, and gives it to the `common` model too.
    pub fn learn(&self, common: &Learner<N>, x: &[f64; N], y: f64) {
        let expected = predict(&common.latest(), x);
        if y.is_finite() && y > 0.0 && expected > 0.0 {
            let (factor, error) = (self.factor(), self.error());
            let off = (expected * factor - y).abs() / y;
            self.error.store((error + ERROR_GAIN * (off - error)).to_bits(), Ordering::Relaxed);
            // Ratios are even in their logarithms: a mean of them as they are would lie above 1 by noise alone.
            let moved = factor * times(y, expected * factor).powf(FACTOR_GAIN);
            self.factor.store(moved.to_bits(), Ordering::Relaxed);
        }
        self.own.learn(x, y);
        common.learn(x, y);
    }

    /// The model of its own.
    #[must_use]
    pub const fn own(&self) -> &Learner<N> {
        &self.own
    }

    /// How many times what the common model says its costs are.
    #[must_use]
    pub fn factor(&self) -> f64 {
        f64::from_bits(self.factor.load(Ordering::Relaxed))
    }

    /// Moving mean of the error of the common model with the factor, relative to what was measured.
    #[must_use]
    pub fn error(&self) -> f64 {
        f64::from_bits(self.error.load(Ordering::Relaxed))
    }

    /// Whether the model of its own is clearly better.
    #[must_use]
    pub fn prefers_own_model(&self) -> bool {
        self.own.coefficients().is_some()
            && self.own.error().is_some_and(|error| error < CLEARLY_BETTER * self.error())
    }

    /// The coefficients to go by, where the common ones are these.
    #[must_use]
    pub fn coefficients(&self, common: &[f64; N]) -> [f64; N] {
        if self.prefers_own_model() {
            return self.own.latest();
        }
        let factor = self.factor();
        if (factor - 1.0).abs() < ALIKE { *common } else { common.map(|c| c * factor) }
    }
}
