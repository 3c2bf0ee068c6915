//! The three linear models of speed: prefill, decode step, KV transfer.

use crate::estimate::likeness::Likeness;
use crate::estimate::rls::{Learner, predict};
use crate::speed::work::{PromptWork, StreamLoad};

/// The prior for prefill, an 8B model on a current GPU. Seconds for: a step that reads a prompt, 1,000 tokens of it, a
/// million pairs of tokens that attend to each other, ten streams beside it.
const PREFILL: [f64; 4] = [0.007, 0.02, 0.0008, 0.001];

/// The prior for a decode step. Seconds for: a step, ten streams in it, 100,000 KV tokens that they read.
const STEP: [f64; 3] = [0.008, 0.000_3, 0.004];

/// The prior for a KV transfer. Seconds for: a transfer, 1,000 tokens of it.
const TRANSFER: [f64; 2] = [0.004, 0.006];

/// The three models of all endpoints of a route together.
#[derive(Debug)]
pub struct Models {
    /// Seconds to read a prompt.
    pub prefill: Learner<4>,
    /// Seconds between tokens.
    pub step: Learner<3>,
    /// Seconds to move a KV cache.
    pub transfer: Learner<2>,
}

impl Default for Models {
    fn default() -> Self {
        Self {
            prefill: Learner::new(PREFILL),
            // Other work on the same machine makes all steps slower for some seconds.
            step: Learner::new(STEP).drifting(),
            transfer: Learner::new(TRANSFER),
        }
    }
}

/// The coefficients of all three models at one moment, cheap to copy and to use many times.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Speed {
    prefill: [f64; 4],
    step: [f64; 3],
    transfer: [f64; 2],
}

impl Models {
    /// The latest coefficients, which are the priors before anything was learned.
    #[must_use]
    pub fn speed(&self) -> Speed {
        Speed {
            prefill: self.prefill.latest(),
            step: self.step.latest(),
            transfer: self.transfer.latest(),
        }
    }
}

/// The three models of one endpoint, relative to those of its route.
#[derive(Debug)]
pub struct OwnModels {
    /// Seconds to read a prompt.
    pub prefill: Likeness<4>,
    /// Seconds between tokens.
    pub step: Likeness<3>,
    /// Seconds to move a KV cache.
    pub transfer: Likeness<2>,
}

impl Default for OwnModels {
    fn default() -> Self {
        Self {
            prefill: Likeness::new(PREFILL),
            step: Likeness::new(STEP).drifting(),
            transfer: Likeness::new(TRANSFER),
        }
    }
}

impl OwnModels {
    /// The endpoint's speed, where that of all endpoints together is `common`.
    #[must_use]
    pub fn speed_or(&self, common: &Speed) -> Speed {
        Speed {
            prefill: self.prefill.coefficients(&common.prefill),
            step: self.step.coefficients(&common.step),
            transfer: self.transfer.coefficients(&common.transfer),
        }
    }
}

impl Speed {
    /// Seconds that a prompt takes once it is its turn.
    #[must_use]
    pub fn prefill(&self, work: PromptWork) -> f64 {
        predict(&self.prefill, &work.features())
    }

    /// Seconds between tokens while no prompt is read beside them.
    #[must_use]
    pub fn step(&self, load: StreamLoad) -> f64 {
        predict(&self.step, &load.features())
    }

    /// Seconds that a KV cache takes to move.
    #[must_use]
    pub fn transfer(&self, tokens: f64) -> f64 {
        predict(&self.transfer, &[1.0, tokens / 1e3])
    }
}
