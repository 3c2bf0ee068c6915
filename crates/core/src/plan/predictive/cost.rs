//! The cost of one whole plan, by its terms.

use crate::plan::forecast::Forecast;
use crate::plan::reason::Reason;
use crate::plan::scope::Demand;

/// A plan judged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PlanCost {
    pub(super) forecast: Forecast,
    pub(crate) ttft: f64,
    pub(crate) itl: f64,
    pub(crate) harm: f64,
}

impl PlanCost {
    /// All of it.
    pub(super) fn cost(&self) -> f64 {
        self.ttft + self.itl + self.harm
    }

    /// What makes it better than `other`: the largest difference.
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
