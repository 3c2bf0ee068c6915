//! Ejection and KV trust of an endpoint, from the router's own requests.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Consecutive failures after which an endpoint is ejected. With one, a single reset connection would eject it; double
/// lets as many more requests fail first.
pub(super) const EJECT_AFTER: u32 = 3;
/// The time of the first ejection, which doubles with each further failure.
pub(super) const EJECT_FIRST: Duration = Duration::from_secs(1);
/// The longest ejection: a restarted engine takes minutes to load, and a check each half a minute costs little.
pub(super) const EJECT_LONGEST: Duration = Duration::from_secs(30);
/// Consecutive KV caches that failed to load at a decoding endpoint, after which no cache is handed off from their
/// prefill endpoint. The fault may be the decoding endpoint's, so one is not enough.
const DISTRUST_AFTER: u32 = 3;
/// How long no KV cache is handed off from an endpoint that lost trust.
pub(crate) const KV_DISTRUST: Duration = Duration::from_secs(30);

/// Failures of one endpoint, and until when they keep requests away.
#[derive(Debug, Default)]
pub struct Health {
    failures: AtomicU32,
    ejected_until: AtomicU64,
    kv_failures: AtomicU32,
    kv_distrusted_until: AtomicU64,
}

impl Health {
    /// Notes that a request succeeded: failures are forgotten.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// Notes that a request failed by this endpoint's fault. Returns the time for which it is now ejected, if that is
    /// new.
    pub fn failed(&self, now: Duration) -> Option<Duration> {
        if self.ejected(now) {
            // This request was sent before the ejection, and tells nothing more.
            return None;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let beyond = failures.checked_sub(EJECT_AFTER)?;
        let time_out = EJECT_FIRST.saturating_mul(1 << beyond.min(10)).min(EJECT_LONGEST);
        self.ejected_until.store(millis(now + time_out), Ordering::Relaxed);
        Some(time_out)
    }

    /// Whether the endpoint is ejected.
    #[must_use]
    pub fn ejected(&self, now: Duration) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > millis(now)
    }

    /// Notes whether a KV cache that was handed off from here could be loaded. Returns the time for which the endpoint
    /// has now lost trust, if that is new.
    pub fn kv_handed_over(&self, worked: bool, now: Duration) -> Option<Duration> {
        let failures = &self.kv_failures;
        if worked {
            failures.store(0, Ordering::Relaxed);
            return None;
        }
        if failures.fetch_add(1, Ordering::Relaxed) + 1 < DISTRUST_AFTER {
            return None;
        }
        failures.store(0, Ordering::Relaxed);
        self.distrust_kv(now)
    }

    /// Notes that the endpoint answered a prefill leg without usable KV parameters. Returns the time for which it has
    /// now lost trust, if that is new.
    pub fn distrust_kv(&self, now: Duration) -> Option<Duration> {
        if !self.trusts_kv(now) {
            return None;
        }
        self.kv_distrusted_until.store(millis(now + KV_DISTRUST), Ordering::Relaxed);
        Some(KV_DISTRUST)
    }

    /// Whether KV caches may be handed off from here.
    #[must_use]
    pub fn trusts_kv(&self, now: Duration) -> bool {
        self.kv_distrusted_until.load(Ordering::Relaxed) <= millis(now)
    }
}

fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
