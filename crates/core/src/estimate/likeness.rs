//! The model of one member of a group whose members are much alike.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::estimate::rls::{ERROR_GAIN, Learner, believed_ratio, predict};

/// The weight of one sample in the factor. Tuned in the lab, no sensitivity measured.
const FACTOR_GAIN: f64 = 0.03;

/// The distance from 1 within which a factor counts as chance. With less, requests follow the noise of a few samples
/// from one member to the next; with more, one that is slower by that much gets as many as the others. Tuned in the
/// lab.
const ALIKE: f64 = 0.25;

/// A member's own model is used if its error is below this share of the common model's with the factor. Tuned in the
/// lab, no sensitivity measured.
const CLEARLY_BETTER: f64 = 0.4;

/// The model of one member of a group: the common model, times a factor if the member is clearly faster or slower, or a
/// model of its own if that is clearly better. *Why not its own at once*: a few noisy samples would make one member
/// look better or worse than its equals, and all work would follow.
#[derive(Debug)]
pub struct Likeness<const N: usize> {
    own: Learner<N>,
    factor: AtomicU64,
    error: AtomicU64,
}

impl<const N: usize> Likeness<N> {
    /// A member without samples.
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

    /// Learns one sample, and teaches it to the `common` model too.
    pub fn learn(&self, common: &Learner<N>, x: &[f64; N], y: f64) {
        let expected = predict(&common.latest(), x);
        if y.is_finite() && y > 0.0 && expected > 0.0 {
            let (factor, error) = (self.factor(), self.error());
            let off = (expected * factor - y).abs() / y;
            self.error.store((error + ERROR_GAIN * (off - error)).to_bits(), Ordering::Relaxed);
            // A geometric mean, because noise alone would put the arithmetic mean of ratios above 1.
            let moved = factor * believed_ratio(y, expected * factor).powf(FACTOR_GAIN);
            self.factor.store(moved.to_bits(), Ordering::Relaxed);
        }
        self.own.learn(x, y);
        common.learn(x, y);
    }

    /// The member's own model.
    #[must_use]
    pub const fn own(&self) -> &Learner<N> {
        &self.own
    }

    /// The ratio of the member's values to the common model's.
    #[must_use]
    pub fn factor(&self) -> f64 {
        f64::from_bits(self.factor.load(Ordering::Relaxed))
    }

    /// The moving mean of the error of the common model with the factor, relative to the measured values.
    #[must_use]
    pub fn error(&self) -> f64 {
        f64::from_bits(self.error.load(Ordering::Relaxed))
    }

    /// Whether the member's own model is clearly better.
    #[must_use]
    pub fn prefers_own_model(&self) -> bool {
        self.own.coefficients().is_some()
            && self.own.error().is_some_and(|error| error < CLEARLY_BETTER * self.error())
    }

    /// The coefficients of the member, where the common ones are these.
    #[must_use]
    pub fn coefficients(&self, common: &[f64; N]) -> [f64; N] {
        if self.prefers_own_model() {
            return self.own.latest();
        }
        let factor = self.factor();
        if (factor - 1.0).abs() < ALIKE { *common } else { common.map(|c| c * factor) }
    }
}
