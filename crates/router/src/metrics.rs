//! What Prometheus sees. Labels are enums, or names bounded by configuration: never what a client sent.

use std::sync::Arc;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use qoe_core::track::Timings;

use crate::record::Record;

/// Seconds: first tokens, and everything else from milliseconds to minutes.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Seconds between tokens.
const ITL_SECONDS: [f64; 12] =
    [0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 1.0];
/// QoE.
const RATIO: [f64; 10] = [0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0];

type Labelled<M> = Family<Labels, M>;

/// Labels of all request metrics; those that do not apply are left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, EncodeLabelSet)]
pub(crate) struct Labels {
    route: String,
    outcome: Option<&'static str>,
    plan: Option<&'static str>,
    reason: Option<&'static str>,
    phase: Option<&'static str>,
    endpoint: Option<String>,
    failure: Option<&'static str>,
    met: Option<&'static str>,
}

/// All metrics of the router.
pub(crate) struct Metrics {
    requests: Labelled<Counter>,
    plans: Labelled<Counter>,
    failures: Labelled<Counter>,
    retries: Labelled<Counter>,
    sla: Labelled<Counter>,
    tokens: Labelled<Counter>,
    ignored_headers: Labelled<Counter>,
    ttft: Labelled<Histogram>,
    duration: Labelled<Histogram>,
    prefill: Labelled<Histogram>,
    transfer_and_queue: Labelled<Histogram>,
    qoe: Labelled<Histogram>,
    itl: Labelled<Histogram>,
    endpoint_in_flight: Labelled<Gauge>,
    config_reloads: Labelled<Counter>,
    scrapes: Labelled<Counter>,
    /// The version of the configuration in use.
    pub(crate) config_version: Gauge,
}

impl Metrics {
    /// Makes the metrics and registers them under the prefix `qoe_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let r = registry.sub_registry_with_prefix("qoe");
        let seconds: fn() -> Histogram = || Histogram::new(SECONDS);
        let metrics = Self {
            requests: Family::default(),
            plans: Family::default(),
            failures: Family::default(),
            retries: Family::default(),
            sla: Family::default(),
            tokens: Family::default(),
            ignored_headers: Family::default(),
            ttft: Family::new_with_constructor(seconds),
            duration: Family::new_with_constructor(seconds),
            prefill: Family::new_with_constructor(seconds),
            transfer_and_queue: Family::new_with_constructor(seconds),
            qoe: Family::new_with_constructor(|| Histogram::new(RATIO)),
            itl: Family::new_with_constructor(|| Histogram::new(ITL_SECONDS)),
            endpoint_in_flight: Family::default(),
            config_reloads: Family::default(),
            scrapes: Family::default(),
            config_version: Gauge::default(),
        };
        r.register("requests", "Requests ended, by outcome", metrics.requests.clone());
        r.register("plans", "Plans carried out, by reason", metrics.plans.clone());
        r.register("failures", "Attempts that failed at an endpoint", metrics.failures.clone());
        r.register("retries", "Further attempts of a request", metrics.retries.clone());
        r.register("sla", "Requests by whether the promise was kept", metrics.sla.clone());
        r.register("output_tokens", "Tokens relayed", metrics.tokens.clone());
        r.register(
            "ignored_headers",
            "Header values that made no sense",
            metrics.ignored_headers.clone(),
        );
        let s = Unit::Seconds;
        r.register_with_unit(
            "time_to_first_token",
            "TTFT of streams",
            s.clone(),
            metrics.ttft.clone(),
        );
        r.register_with_unit(
            "request_duration",
            "Whole requests",
            s.clone(),
            metrics.duration.clone(),
        );
        r.register_with_unit(
            "prefill",
            "Prefill legs of handoffs",
            s.clone(),
            metrics.prefill.clone(),
        );
        let help = "From the decoding leg's departure to the first token";
        r.register_with_unit(
            "transfer_and_queue",
            help,
            s.clone(),
            metrics.transfer_and_queue.clone(),
        );
        let help = "Between tokens of a stream, as they reach the router";
        r.register_with_unit("inter_token_latency", help, s, metrics.itl.clone());
        r.register("request_qoe", "QoE of streams (Andes), 0 to 1", metrics.qoe.clone());
        let help = "Requests of this router in flight at an endpoint";
        r.register("endpoint_in_flight", help, metrics.endpoint_in_flight.clone());
        r.register(
            "config_reloads",
            "Configurations read, by outcome",
            metrics.config_reloads.clone(),
        );
        r.register("scrapes", "Looks at endpoints' metrics, by outcome", metrics.scrapes.clone());
        let help = "Version of the configuration in use";
        r.register("config_version", help, metrics.config_version.clone());
        metrics
    }

    /// The histogram of a route's inter-token latencies: resolved once a request, observed for each token.
    pub(crate) fn itl(&self, route: &Arc<str>) -> Histogram {
        self.itl.get_or_create(&Labels { route: route.to_string(), ..Labels::default() }).clone()
    }

    /// A request ended.
    pub(crate) fn ended(&self, record: &Record) {
        let route = Labels { route: record.route.to_string(), ..Labels::default() };
        let outcome = Labels { outcome: Some(record.outcome.as_str()), ..route.clone() };
        self.requests.get_or_create(&outcome).inc();
        if let (Some(plan), Some(reason)) = (record.plan, record.reason) {
            let (plan, reason) = (Some(plan), Some(reason.as_str()));
            self.plans.get_or_create(&Labels { plan, reason, ..route.clone() }).inc();
        }
        if record.attempts > 1 {
            self.retries.get_or_create(&route).inc_by(u64::from(record.attempts - 1));
        }
        self.timed(route, &record.timings);
    }

    fn timed(&self, route: Labels, timings: &Timings) {
        let histograms = [
            (&self.ttft, timings.ttft),
            (&self.duration, Some(timings.total)),
            (&self.prefill, timings.prefill),
            (&self.transfer_and_queue, timings.transfer_and_queue),
            (&self.qoe, timings.qoe),
        ];
        for (histogram, value) in histograms {
            if let Some(value) = value {
                histogram.get_or_create(&route).observe(value);
            }
        }
        self.tokens.get_or_create(&route).inc_by(timings.tokens);
        if let Some(met) = timings.sla_met {
            let met = Some(if met { "true" } else { "false" });
            self.sla.get_or_create(&Labels { met, ..route }).inc();
        }
    }

    /// An attempt failed at an endpoint.
    pub(crate) fn attempt_failed(
        &self,
        route: &str,
        endpoint: &str,
        phase: &'static str,
        failure: &'static str,
    ) {
        let labels = Labels {
            route: route.to_owned(),
            endpoint: Some(endpoint.to_owned()),
            phase: Some(phase),
            failure: Some(failure),
            ..Labels::default()
        };
        self.failures.get_or_create(&labels).inc();
    }

    /// A request was answered before any route was found for it.
    pub(crate) fn refused(&self, outcome: &'static str, failure: &'static str) {
        let (outcome, failure) = (Some(outcome), Some(failure));
        self.requests.get_or_create(&Labels { outcome, failure, ..Labels::default() }).inc();
    }

    /// Header values of a request that made no sense.
    pub(crate) fn ignored_headers(&self, route: &str, count: u32) {
        if count > 0 {
            let labels = Labels { route: route.to_owned(), ..Labels::default() };
            self.ignored_headers.get_or_create(&labels).inc_by(u64::from(count));
        }
    }

    /// Sets the in-flight gauge of an endpoint; called at each look at it.
    pub(crate) fn endpoint_in_flight(&self, endpoint: &str, in_flight: u32) {
        let labels = Labels { endpoint: Some(endpoint.to_owned()), ..Labels::default() };
        self.endpoint_in_flight.get_or_create(&labels).set(i64::from(in_flight));
    }

    /// A configuration was read.
    pub(crate) fn config_read(&self, outcome: &'static str) {
        let labels = Labels { outcome: Some(outcome), ..Labels::default() };
        self.config_reloads.get_or_create(&labels).inc();
    }

    /// An endpoint was looked at.
    pub(crate) fn scraped(&self, ok: bool) {
        let outcome = Some(if ok { "success" } else { "failure" });
        self.scrapes.get_or_create(&Labels { outcome, ..Labels::default() }).inc();
    }
}
