//! The weight of an observation by its age.

use std::time::Duration;

/// The age at which an observation's weight is 1/e. Half of it forgets a slow endpoint before a scrape interval or two
/// have passed; double keeps traffic from an endpoint that has recovered. Tuned in the lab, no sensitivity measured.
pub const FADE: Duration = Duration::from_secs(10);

/// The weight of what is `age` time constants old: e^−age, approximated by (1 + age/16)^−16, which is off by 0.017 at
/// most. *Why*: a plan fades some hundred values, and this costs a tenth of `exp`.
pub(crate) fn fade(age: f64) -> f64 {
    let once = 1.0 / (1.0 + age / 16.0);
    once.powi(16)
}

/// `now` in nanoseconds, saturating after 584 years.
pub(crate) fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds from `at`, in nanoseconds, until `now`; 0 if `at` is later.
#[expect(clippy::cast_precision_loss, reason = "a microsecond off after 285 years")]
pub(crate) fn since(at: u64, now: Duration) -> f64 {
    nanos(now).saturating_sub(at) as f64 * 1e-9
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_ages_fades_as_by_the_exponential() {
        for age in [0.0, 0.01, 0.5, 1.0, 2.0, 4.0, 30.0_f64] {
            assert!((fade(age) - (-age).exp()).abs() < 0.018, "{age}: {}", fade(age));
        }
    }
}
