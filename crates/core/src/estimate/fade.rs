//! How much an observation still counts at a given age.

use std::time::Duration;

/// Age at which an observation counts 1/e.
pub const FADE: Duration = Duration::from_secs(10);

/// How much counts of what is `age` time constants old: e^−age, by its limit (1 + age/16)^−16, which is off by no more
/// than 0.017. *Why*: a plan fades some hundred values, and this one costs a tenth of the exact one.
pub(crate) fn fade(age: f64) -> f64 {
    let once = 1.0 / (1.0 + age / 16.0);
    once.powi(16)
}

/// Saturating nanoseconds: 584 years of uptime.
pub(crate) fn nanos(now: Duration) -> u64 {
    u64::try_from(now.as_nanos()).unwrap_or(u64::MAX)
}

/// Seconds from `at`, in nanoseconds, until now; 0 if that is ahead.
#[expect(clippy::cast_precision_loss, reason = "a microsecond off after 285 years")]
pub(crate) fn since(at: u64, now: Duration) -> f64 {
    nanos(now).saturating_sub(at) as f64 * 1e-9
}
