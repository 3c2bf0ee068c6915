//! The rate at which requests of each priority arrive.

use std::time::Duration;

use crate::estimate::rate::DecayedRate;
use crate::request::analyze::Priority;

/// The recent rate of requests of each priority.
#[derive(Debug, Default)]
pub struct ArrivalRates(DecayedRate<3>);

/// The share of all arrivals below which more urgent ones are no reason to keep room for them. Tuned in the lab, no
/// sensitivity measured.
const FEW: f64 = 0.03;

impl ArrivalRates {
    /// Counts a request.
    pub fn note(&self, priority: Priority, now: Duration) {
        let mut one = [0.0; 3];
        one[priority as usize] = 1.0;
        self.0.add(one, now);
    }

    /// Whether requests of a more urgent priority arrive.
    #[must_use]
    pub fn beyond(&self, priority: Priority, now: Duration) -> bool {
        let rates = self.0.rates(now);
        let more_urgent: f64 = rates[..priority as usize].iter().sum();
        more_urgent > FEW * rates.iter().sum::<f64>()
    }
}
