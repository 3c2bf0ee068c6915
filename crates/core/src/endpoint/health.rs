//! Whether an endpoint may be used, by the router's own evidence.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

/// Consecutive failures after which an endpoint is left out for a while.
pub(super) const EJECT_AFTER: u32 = 3;
/// First time out; doubles with each further failure.
pub(super) const EJECT_FIRST: Duration = Duration::from_secs(1);
/// Longest time out.
pub(super) const EJECT_LONGEST: Duration = Duration::from_secs(30);
/// Handed-over KV caches in a row that could not be used, after which an endpoint is not handed from.
const DISTRUST_AFTER: u32 = 3;
/// How long a prefill endpoint that answered without KV parameters is not handed from.
pub(crate) const KV_DISTRUST: Duration = Duration::from_secs(30);

/// Failures, and until when they count.
#[derive(Debug, Default)]
pub struct Health {
    failures: AtomicU32,
    ejected_until: AtomicU64,
    kv_failures: AtomicU32,
    kv_distrusted_until: AtomicU64,
}

impl Health {
    /// A request went well: failures are forgotten.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) != 0 {
            self.failures.store(0, Ordering::Relaxed);
            self.ejected_until.store(0, Ordering::Relaxed);
        }
    }

    /// A request failed by this endpoint's doing. Returns for how long the endpoint is now ejected, if that is new:
    /// what fails while it is ejected was sent before, and tells nothing more.
    pub fn failed(&self, now: Duration) -> Option<Duration> {
        if self.ejected(now) {
            return None;
        }
        let failures = self.failures.fetch_add(1, Ordering::Relaxed).saturating_add(1);
        let beyond = failures.checked_sub(EJECT_AFTER)?;
        let time_out = EJECT_FIRST.saturating_mul(1 << beyond.min(10)).min(EJECT_LONGEST);
        self.ejected_until.store(millis(now + time_out), Ordering::Relaxed);
        Some(time_out)
    }

    /// Whether the router's own evidence says to leave it out for now.
    #[must_use]
    pub fn ejected(&self, now: Duration) -> bool {
        self.ejected_until.load(Ordering::Relaxed) > millis(now)
    }

    /// A KV cache that was handed over from here could not be used, or could. Some failures in a row, and it is
    /// not handed from for a while: the fault may be the other's, so one is not enough. For how long, if from now on.
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

    /// It was asked to hand over and answered without usable KV parameters. For how long it is not handed from, if that
    /// is so from now on.
    pub fn distrust_kv(&self, now: Duration) -> Option<Duration> {
        if !self.trusts_kv(now) {
            return None;
        }
        self.kv_distrusted_until.store(millis(now + KV_DISTRUST), Ordering::Relaxed);
        Some(KV_DISTRUST)
    }

    /// Whether handing over from here is worth a try.
    #[must_use]
    pub fn trusts_kv(&self, now: Duration) -> bool {
        self.kv_distrusted_until.load(Ordering::Relaxed) <= millis(now)
    }
}

fn millis(now: Duration) -> u64 {
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}
