//! The retry budget: extra attempts are a share of the traffic, so that a sick pool is not trampled.

use std::sync::Mutex;
use std::time::Duration;

/// Each request earns this much of a retry.
const SHARE: f64 = 0.2;
/// And so much is earned each second, whatever the traffic.
const PER_SECOND: f64 = 10.0;
/// No more than this is saved up.
const MOST: f64 = 100.0;

/// Retries that may be spent: 20 % of requests and 10 a second (Finagle's and linkerd's rule).
#[derive(Debug)]
pub struct Budget(Mutex<(f64, Duration)>);

impl Default for Budget {
    fn default() -> Self {
        Self(Mutex::new((PER_SECOND, Duration::ZERO)))
    }
}

impl Budget {
    /// A request arrived.
    pub fn earn(&self) {
        let mut balance = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        balance.0 = (balance.0 + SHARE).min(MOST);
    }

    /// Spends one retry; false where there is none left.
    pub fn spend(&self, now: Duration) -> bool {
        let mut balance = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let earned = now.saturating_sub(balance.1).as_secs_f64() * PER_SECOND;
        *balance = ((balance.0 + earned).min(MOST), now.max(balance.1));
        let enough = balance.0 >= 1.0;
        if enough {
            balance.0 -= 1.0;
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
