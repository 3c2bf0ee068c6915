//! The rate at which requests of each priority arrive.

use std::time::Duration;

use crate::estimate::rate::DecayedRate;
use crate::request::analyze::Priority;

/// How many requests of each priority come, lately.
#[derive(Debug, Default)]
pub struct ArrivalRates(DecayedRate<3>);

/// Less than this share of all that come is no reason to leave room.
const FEW: f64 = 0.03;

impl ArrivalRates {
    /// A request comes.
    pub fn note(&self, priority: Priority, now: Duration) {
        let mut one = [0.0; 3];
        one[priority as usize] = 1.0;
        self.0.add(one, now);
    }

    /// Whether requests come that are more urgent than this priority.
    #[must_use]
    pub fn beyond(&self, priority: Priority, now: Duration) -> bool {
        let rates = self.0.rates(now);
        let more_urgent: f64 = rates[..priority as usize].iter().sum();
        more_urgent > FEW * rates.iter().sum::<f64>()
    }
}
