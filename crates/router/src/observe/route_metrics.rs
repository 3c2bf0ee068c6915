//! The instruments of one route. Its requests hold them, so that requests that outlive the route count into nothing.

use std::sync::Arc;

use prometheus_client::metrics::gauge::Gauge;
use qoe_core::admit::shedding::Shedding;
use qoe_core::flight::timings::{Outcome, Timings};
use qoe_core::phase::Phase;
use qoe_core::plan::reason::Reason;
use qoe_core::request::analyze::Priority;

use crate::observe::record::Record;
use crate::observe::sharded::{ShardedCounter, ShardedCounts, ShardedHistogram};

/// Bucket bounds in seconds for the first token, and for everything else from milliseconds to minutes.
const SECONDS: &[f64] =
    &[0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Bucket bounds in seconds for the time between tokens.
const ITL_SECONDS: &[f64] =
    &[0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 1.0];
/// Bucket bounds for QoE, which is at most 1.
const RATIO: &[f64] = &[0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0];
/// Bucket bounds for relative errors of forecasts.
const ERROR: &[f64] = &[0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0];

/// All priorities, in the order of their numbers.
pub(crate) const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];

/// The instruments of one route.
pub(crate) struct RouteMetrics {
    /// The route's name.
    pub(crate) route: Arc<str>,
    /// By outcome.
    pub(crate) requests: [ShardedCounter; Outcome::ALL.len()],
    /// Requests that missed their targets, and requests that met them: by `usize::from(met)`.
    pub(crate) sla: [ShardedCounter; 2],
    pub(crate) retries: ShardedCounter,
    pub(crate) tokens: ShardedCounter,
    pub(crate) ignored_headers: ShardedCounter,
    pub(crate) ttft: ShardedHistogram,
    pub(crate) duration: ShardedHistogram,
    pub(crate) prefill: ShardedHistogram,
    pub(crate) transfer_and_queue: ShardedHistogram,
    pub(crate) qoe: ShardedHistogram,
    pub(crate) itl: ShardedHistogram,
    pub(crate) ttft_error: ShardedHistogram,
    pub(crate) itl_error: ShardedHistogram,
    /// Requests that wait, by priority.
    pub(crate) queued: [Gauge; PRIORITIES.len()],
    pub(super) queue: [ShardedHistogram; PRIORITIES.len()],
    pub(super) shed: [[ShardedCounter; Shedding::ALL.len()]; PRIORITIES.len()],
    /// By plan (`local` or `handoff`) and reason.
    pub(super) plans: ShardedCounts<(&'static str, Reason)>,
    pub(super) failures: ShardedCounts<FailureKey>,
}

/// What failed attempts are counted by.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct FailureKey {
    pub(super) endpoint: Arc<str>,
    pub(super) phase: &'static str,
    pub(super) failure: &'static str,
}

impl RouteMetrics {
    /// Instruments that have counted nothing yet.
    pub(crate) fn new(route: &str) -> Self {
        let seconds = || ShardedHistogram::new(SECONDS);
        Self {
            route: route.into(),
            requests: Default::default(),
            sla: Default::default(),
            retries: ShardedCounter::default(),
            tokens: ShardedCounter::default(),
            ignored_headers: ShardedCounter::default(),
            ttft: seconds(),
            duration: seconds(),
            prefill: seconds(),
            transfer_and_queue: seconds(),
            qoe: ShardedHistogram::new(RATIO),
            itl: ShardedHistogram::new(ITL_SECONDS),
            ttft_error: ShardedHistogram::new(ERROR),
            itl_error: ShardedHistogram::new(ERROR),
            queued: Default::default(),
            queue: PRIORITIES.map(|_| seconds()),
            shed: Default::default(),
            plans: ShardedCounts::default(),
            failures: ShardedCounts::default(),
        }
    }

    /// The time that requests of a priority waited.
    pub(crate) const fn queue(&self, priority: Priority) -> &ShardedHistogram {
        &self.queue[priority as usize]
    }

    /// The number of requests of a priority that were refused for load.
    pub(crate) const fn shed(&self, priority: Priority, why: Shedding) -> &ShardedCounter {
        &self.shed[priority as usize][why as usize]
    }

    /// Counts an attempt that failed at an endpoint.
    pub(crate) fn attempt_failed(&self, endpoint: &str, phase: Phase, failure: &'static str) {
        let (endpoint, phase) = (endpoint.into(), phase.as_str());
        self.failures.inc(FailureKey { endpoint, phase, failure });
    }

    /// Counts a request that ended.
    pub(crate) fn ended(&self, record: &Record) {
        self.requests[record.outcome as usize].inc();
        if let (Some(plan), Some(reason)) = (record.plan, record.reason) {
            self.plans.inc((plan, reason));
        }
        self.retries.inc_by(u64::from(record.attempts.saturating_sub(1)));
        self.timed(&record.timings);
    }

    fn timed(&self, timings: &Timings) {
        let histograms = [
            (&self.ttft, timings.ttft),
            (&self.duration, Some(timings.total)),
            (&self.prefill, timings.prefill),
            (&self.transfer_and_queue, timings.transfer_and_queue),
            (&self.qoe, timings.qoe),
        ];
        for (histogram, value) in histograms {
            if let Some(value) = value {
                histogram.observe(value);
            }
        }
        self.tokens.inc_by(timings.tokens);
        if let Some(met) = timings.sla_met {
            self.sla[usize::from(met)].inc();
        }
    }
}
