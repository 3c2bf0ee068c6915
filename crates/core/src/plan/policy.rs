//! The policies: one that compares whole plans, and those that pick one endpoint at a time.
//!
//! Both are enums built from validated configuration: the sets are closed. Only an [`EndpointPolicy`] can pick an
//! endpoint, so `Predictive` cannot fall back to one by mistake.

use rand::{Rng, RngExt};

use crate::endpoint::Endpoint;
use crate::memory::turns::Turns;
use crate::plan::occasion::Occasion;
use crate::plan::weighted::{Neutral, Weights};

/// A policy by name, with its parameters.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Policy {
    /// Compares whole plans by what they are expected to be for the user, and to cost others.
    Predictive(Predictive),
    /// Picks the endpoint for each phase on its own.
    Endpoint(EndpointPolicy),
}

impl From<EndpointPolicy> for Policy {
    fn from(policy: EndpointPolicy) -> Self {
        Self::Endpoint(policy)
    }
}

impl Policy {
    /// The policy's name in configuration, logs and metrics.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Predictive(_) => "Predictive",
            Self::Endpoint(policy) => policy.as_str(),
        }
    }

    /// Whether the policy considers which endpoints hold the prompt in their prefix caches.
    #[must_use]
    pub const fn uses_prefix_caches(&self) -> bool {
        matches!(self, Self::Predictive(_) | Self::Endpoint(EndpointPolicy::PrefixAffinity))
    }
}

/// A policy that picks one endpoint among candidates.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum EndpointPolicy {
    /// The published formula: a weighted sum of factors per phase; the lowest wins.
    Weighted(Weights),
    /// Each candidate in turn.
    RoundRobin,
    /// The one with the fewest requests of this router in flight.
    LeastRequest,
    /// The better, by requests in flight, of two drawn at random.
    PowerOfTwo,
    /// To read a prompt, the one that is likely to have the most of it in its prefix cache while load is even;
    /// otherwise as `LeastRequest`. Other routers call this cache-aware.
    PrefixAffinity,
}

impl EndpointPolicy {
    const fn as_str(&self) -> &'static str {
        match self {
            Self::Weighted(_) => "Weighted",
            Self::RoundRobin => "RoundRobin",
            Self::LeastRequest => "LeastRequest",
            Self::PowerOfTwo => "PowerOfTwo",
            Self::PrefixAffinity => "PrefixAffinity",
        }
    }

    /// Picks one of `candidates`, which are indices into `pool`. `None` only if there is no candidate.
    pub(crate) fn pick(
        &self,
        pool: &[Endpoint],
        candidates: &[usize],
        occasion: Occasion<'_>,
        turns: &Turns,
        rng: &mut impl Rng,
    ) -> Option<usize> {
        match candidates {
            [] => return None,
            [only] => return Some(*only),
            _ => {}
        }
        let load = |i: &usize| f64::from(pool[*i].state.ledger.in_flight_all());
        match self {
            Self::RoundRobin => Some(candidates[turns.next(occasion.phase) % candidates.len()]),
            Self::LeastRequest => lowest(candidates, rng, load),
            Self::PowerOfTwo => {
                let first = rng.random_range(0..candidates.len());
                let second = rng.random_range(0..candidates.len() - 1);
                let second = second + usize::from(second >= first);
                lowest(&[candidates[first], candidates[second]], rng, load)
            }
            Self::PrefixAffinity => {
                let holder = occasion.holder(pool, candidates);
                holder.or_else(|| lowest(candidates, rng, load))
            }
            Self::Weighted(weights) => {
                let neutral = Neutral::of(pool, candidates, occasion.now);
                lowest(candidates, rng, |i| weights.score(&pool[*i].state, &neutral, occasion))
            }
        }
    }
}

/// The candidate with the lowest score; ties go to a random one, so that routers do not herd.
pub(crate) fn lowest(
    candidates: &[usize],
    rng: &mut impl Rng,
    mut score: impl FnMut(&usize) -> f64,
) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    let mut ties = 1_u32;
    for &candidate in candidates {
        let score = score(&candidate);
        match best {
            Some((_, lowest)) if score > lowest => {}
            #[expect(clippy::float_cmp, reason = "an exact tie is what is meant")]
            Some((_, lowest)) if score == lowest => {
                ties += 1;
                if rng.random_range(0..ties) == 0 {
                    best = Some((candidate, score));
                }
            }
            _ => {
                ties = 1;
                best = Some((candidate, score));
            }
        }
    }
    best.map(|(candidate, _)| candidate)
}

/// The rules of `Predictive`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Predictive {
    /// Whether a prefill endpoint may serve a whole request where that is expected to be better.
    pub cross_phase: bool,
}

impl Default for Predictive {
    fn default() -> Self {
        Self { cross_phase: true }
    }
}

#[cfg(test)]
mod tests;
