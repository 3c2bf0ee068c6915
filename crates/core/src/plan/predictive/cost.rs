//! The cost of one whole plan, by its terms, in targets missed.

use crate::plan::forecast::Forecast;
use crate::plan::reason::Reason;
use crate::plan::scope::Demand;

/// The terms of a plan's cost, and its forecast.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanCost {
    pub(super) forecast: Forecast,
    /// What its TTFT costs the user.
    pub(crate) ttft: f64,
    /// What its ITL costs the user.
    pub(crate) itl: f64,
    /// What it costs others.
    pub(crate) harm: f64,
}

impl PlanCost {
    /// The sum of all terms.
    pub(super) fn cost(&self) -> f64 {
        self.ttft + self.itl + self.harm
    }

    /// The reason why it is better than `other`: the term with the largest difference.
    pub(super) fn better_than(&self, other: &Self, demand: &Demand<'_>) -> Reason {
        let is_local = self.forecast.moved <= 0.0 && other.forecast.moved > 0.0;
        if is_local && self.forecast.cached * 2.0 > demand.prompt_tokens as f64 {
            return Reason::PrefixCached;
        }
        let gains = [
            (other.ttft - self.ttft, Reason::FirstTokenSooner),
            (other.itl - self.itl, Reason::StreamFaster),
            (other.harm - self.harm, Reason::StreamsSpared),
        ];
        let most = gains.into_iter().max_by(|a, b| a.0.total_cmp(&b.0));
        most.map_or(Reason::FirstTokenSooner, |(_, reason)| reason)
    }
}
