//! The instruments of one route, resolved once.

use std::borrow::Cow;

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use qoe_core::admit::shedding::Shedding;
use qoe_core::flight::timings::{Outcome, Timings};
use qoe_core::request::analyze::Priority;

use crate::observe::labels::Labels;
use crate::observe::record::Record;

/// The metrics of one route.
pub(crate) struct RouteMetrics {
    pub(crate) requests: [Counter; Outcome::ALL.len()],
    /// Kept or not: by `usize::from(met)`.
    pub(crate) sla: [Counter; 2],
    pub(crate) retries: Counter,
    pub(crate) tokens: Counter,
    pub(crate) ignored_headers: Counter,
    pub(crate) ttft: Histogram,
    pub(crate) duration: Histogram,
    pub(crate) prefill: Histogram,
    pub(crate) transfer_and_queue: Histogram,
    pub(crate) qoe: Histogram,
    pub(crate) itl: Histogram,
    pub(crate) ttft_error: Histogram,
    pub(crate) itl_error: Histogram,
    /// Requests that wait, by priority.
    pub(crate) queued: [Gauge; 3],
    pub(crate) queue: [Histogram; 3],
    pub(crate) shed: [[Counter; 2]; 3],
    pub(crate) plans: Family<Labels<3>, Counter>,
    pub(crate) route: Cow<'static, str>,
}

/// In the order of their numbers.
pub(crate) const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];

impl RouteMetrics {
    /// How long requests of a priority have waited.
    pub(crate) const fn queue(&self, priority: Priority) -> &Histogram {
        &self.queue[priority as usize]
    }

    /// Requests of a priority that were refused for load.
    pub(crate) const fn shed(&self, priority: Priority, why: Shedding) -> &Counter {
        &self.shed[priority as usize][why as usize]
    }

    /// A request ended.
    pub(crate) fn ended(&self, record: &Record) {
        self.requests[record.outcome as usize].inc();
        if let (Some(plan), Some(reason)) = (record.plan, record.reason) {
            let route = ("route", self.route.clone());
            let labels = [route, ("plan", plan.into()), ("reason", reason.as_str().into())];
            self.plans.get_or_create(&labels).inc();
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
