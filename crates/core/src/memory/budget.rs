//! The retry budget: extra attempts are a share of the traffic, so that a sick pool is not trampled.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The retries that each request earns. Finagle's and linkerd's default.
const SHARE: f64 = 0.2;
/// The retries that are earned per second, whatever the traffic: without them a route with little traffic could not
/// retry at all. Finagle's and linkerd's default.
const PER_SECOND: f64 = 10.0;
/// The most retries that are saved up: ten seconds without traffic.
const MAX_SAVED: f64 = 100.0;

/// Retries that may be spent: 20 % of requests and 10 a second (Finagle's and linkerd's rule).
#[derive(Debug)]
pub struct Budget(Mutex<Balance>);

#[derive(Debug)]
struct Balance {
    retries: f64,
    /// When retries were last earned by time.
    earned_at: Duration,
}

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new(Balance { retries: PER_SECOND, earned_at: Duration::ZERO }))
    }
}

impl Budget {
    /// Counts a request, which earns a share of a retry.
    pub fn earn(&self) {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        balance.retries = (balance.retries + SHARE).min(MAX_SAVED);
    }

    /// Spends one retry. Returns false if there is none left.
    pub fn spend(&self, now: Duration) -> bool {
        let mut balance = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let earned = now.saturating_sub(balance.earned_at).as_secs_f64() * PER_SECOND;
        balance.retries = (balance.retries + earned).min(MAX_SAVED);
        balance.earned_at = now.max(balance.earned_at);
        let enough = balance.retries >= 1.0;
        if enough {
            balance.retries -= 1.0;
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn extra_attempts_stay_within_a_fifth_and_ten_a_second() {
        let budget = Budget::default();
        let mut spent = 0;
        for i in 0..10_000_u64 {
            budget.earn();
            // 1,000 requests a second for ten seconds, and every one would like a retry
            spent += u64::from(budget.spend(Duration::from_millis(i)));
        }
        let allowed = 10_000 / 5 + 10 * 10;
        assert!(spent <= allowed + 10 && spent > allowed - 100, "{spent} of {allowed}");
    }

    #[test]
    fn a_long_pause_saves_up_only_so_much() {
        let budget = Budget::default();
        let now = Duration::from_secs(3600);
        assert_eq!((0..1000).filter(|_| budget.spend(now)).count(), 100);
    }
}
