//! What Prometheus sees. Labels are enums, or names bounded by configuration: never what a client sent.

use std::borrow::Cow;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};
use qoe_core::admit::shedding::Shedding;
use qoe_core::flight::timings::Outcome;
use qoe_core::request::analyze::Priority;

use crate::observe::labels::Labels;
use crate::observe::route_metrics::{PRIORITIES, RouteMetrics};

/// Seconds: first tokens, and everything else from milliseconds to minutes.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 2.5, 5.0, 10.0, 60.0];
/// Seconds between tokens.
const ITL_SECONDS: [f64; 12] =
    [0.0025, 0.005, 0.01, 0.015, 0.02, 0.03, 0.04, 0.05, 0.075, 0.1, 0.25, 1.0];
/// QoE.
const RATIO: [f64; 10] = [0.1, 0.25, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.99, 1.0];

/// Relative errors.
const ERROR: [f64; 9] = [0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 3.0];

/// All metrics of the router.
pub(crate) struct Metrics {
    requests: Family<Labels<2>, Counter>,
    plans: Family<Labels<3>, Counter>,
    failures: Family<Labels<4>, Counter>,
    retries: Family<Labels<1>, Counter>,
    sla: Family<Labels<2>, Counter>,
    tokens: Family<Labels<1>, Counter>,
    refused: Family<Labels<1>, Counter>,
    ignored_headers: Family<Labels<1>, Counter>,
    ttft: Family<Labels<1>, Histogram>,
    duration: Family<Labels<1>, Histogram>,
    prefill: Family<Labels<1>, Histogram>,
    transfer_and_queue: Family<Labels<1>, Histogram>,
    qoe: Family<Labels<1>, Histogram>,
    itl: Family<Labels<1>, Histogram>,
    forecast_error: Family<Labels<2>, Histogram>,
    queued: Family<Labels<2>, Gauge>,
    queue: Family<Labels<2>, Histogram>,
    shed: Family<Labels<3>, Counter>,
    endpoint_in_flight: Family<Labels<1>, Gauge>,
    config_reloads: Family<Labels<1>, Counter>,
    scrapes: Family<Labels<1>, Counter>,
    /// The version of the configuration in use.
    pub(crate) config_version: Gauge,
    /// Seconds since a controller was last heard.
    pub(crate) snapshot_age: Gauge<f64, AtomicU64>,
    /// Controllers that are connected.
    pub(crate) controllers: Gauge,
    /// Every endpoint that has series, with its failures, so that they can go with it.
    endpoints: Mutex<HashMap<String, HashSet<Labels<4>>>>,
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
            refused: Family::default(),
            ignored_headers: Family::default(),
            ttft: Family::new_with_constructor(seconds),
            duration: Family::new_with_constructor(seconds),
            prefill: Family::new_with_constructor(seconds),
            transfer_and_queue: Family::new_with_constructor(seconds),
            qoe: Family::new_with_constructor(|| Histogram::new(RATIO)),
            itl: Family::new_with_constructor(|| Histogram::new(ITL_SECONDS)),
            forecast_error: Family::new_with_constructor(|| Histogram::new(ERROR)),
            queued: Family::default(),
            queue: Family::new_with_constructor(seconds),
            shed: Family::default(),
            endpoint_in_flight: Family::default(),
            config_reloads: Family::default(),
            scrapes: Family::default(),
            config_version: Gauge::default(),
            snapshot_age: Gauge::default(),
            controllers: Gauge::default(),
            endpoints: Mutex::default(),
        };
        r.register("requests", "Requests ended, by outcome", metrics.requests.clone());
        r.register("plans", "Plans carried out, by reason", metrics.plans.clone());
        r.register("failures", "Attempts that failed at an endpoint", metrics.failures.clone());
        r.register("retries", "Further attempts of a request", metrics.retries.clone());
        r.register("sla", "Requests by whether the promise was kept", metrics.sla.clone());
        r.register("output_tokens", "Tokens relayed", metrics.tokens.clone());
        r.register("refused", "Requests refused before they had a route", metrics.refused.clone());
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
        let help = "Between tokens of a stream, once for each arrival at the router";
        r.register_with_unit("inter_token_latency", help, s.clone(), metrics.itl.clone());
        let help = "Time that requests which may wait for room have waited until their first plan";
        r.register_with_unit("queue", help, s, metrics.queue.clone());
        r.register("queued", "Requests that wait for room", metrics.queued.clone());
        let help = "Requests refused for load: the queue was full, or their promise unattainable";
        r.register("shed", help, metrics.shed.clone());
        let help = "How far forecasts were off, relative to what was; by what was forecast";
        r.register("forecast_error_ratio", help, metrics.forecast_error.clone());
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

    /// The metrics of one route, resolved once.
    pub(crate) fn of_route(&self, route: &str) -> RouteMetrics {
        let route = Cow::Owned::<'static, str>(route.to_owned());
        let label: Labels<1> = [("route", route.clone())];
        let outcome = |outcome: Outcome| {
            let labels = [("route", route.clone()), ("outcome", outcome.as_str().into())];
            self.requests.get_or_create_owned(&labels)
        };
        let sla = |met: &'static str| {
            self.sla.get_or_create_owned(&[("route", route.clone()), ("met", met.into())])
        };
        let error = |what: &'static str| {
            let labels = [("route", route.clone()), ("forecast", what.into())];
            self.forecast_error.get_or_create_owned(&labels)
        };
        let labels =
            |priority: Priority| [("route", route.clone()), ("priority", priority.as_str().into())];
        let shed = |priority: Priority| {
            Shedding::ALL.map(|why| {
                let [route, priority] = labels(priority);
                let labels = [route, priority, ("reason", why.as_str().into())];
                self.shed.get_or_create_owned(&labels)
            })
        };
        RouteMetrics {
            queued: PRIORITIES.map(|p| self.queued.get_or_create_owned(&labels(p))),
            queue: PRIORITIES.map(|p| self.queue.get_or_create_owned(&labels(p))),
            shed: PRIORITIES.map(shed),
            requests: Outcome::ALL.map(outcome),
            sla: [sla("false"), sla("true")],
            retries: self.retries.get_or_create_owned(&label),
            tokens: self.tokens.get_or_create_owned(&label),
            ignored_headers: self.ignored_headers.get_or_create_owned(&label),
            ttft: self.ttft.get_or_create_owned(&label),
            duration: self.duration.get_or_create_owned(&label),
            prefill: self.prefill.get_or_create_owned(&label),
            transfer_and_queue: self.transfer_and_queue.get_or_create_owned(&label),
            qoe: self.qoe.get_or_create_owned(&label),
            itl: self.itl.get_or_create_owned(&label),
            ttft_error: error("ttft"),
            itl_error: error("itl"),
            plans: self.plans.clone(),
            route,
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
        let labels = [
            ("route", route.to_owned().into()),
            ("endpoint", endpoint.to_owned().into()),
            ("phase", phase.into()),
            ("failure", failure.into()),
        ];
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        self.failures.get_or_create(&labels).inc();
        endpoints.entry(endpoint.to_owned()).or_default().insert(labels);
    }

    /// Registers what only a router with controllers has.
    pub(crate) fn register_pushed(&self, registry: &mut Registry) {
        let r = registry.sub_registry_with_prefix("qoe");
        let help =
            "Time since a controller was last heard; routes are served for ever all the same";
        r.register_with_unit("snapshot_age", help, Unit::Seconds, self.snapshot_age.clone());
        r.register("controllers", "Controllers that are connected", self.controllers.clone());
    }

    /// A request was answered before any route was found for it.
    pub(crate) fn refused(&self, failure: &'static str) {
        self.refused.get_or_create(&[("failure", failure.into())]).inc();
    }

    /// Sets the in-flight gauge of an endpoint; called at each look at it.
    pub(crate) fn endpoint_in_flight(&self, endpoint: &str, in_flight: u32) {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let labels = [("endpoint", endpoint.to_owned().into())];
        self.endpoint_in_flight.get_or_create(&labels).set(i64::from(in_flight));
        if !endpoints.contains_key(endpoint) {
            endpoints.insert(endpoint.to_owned(), HashSet::new());
        }
    }

    /// Others than these are gone: so are their series, also of requests that have ended since.
    pub(crate) fn retain_endpoints(&self, there: impl Fn(&str) -> bool) {
        let mut endpoints = self.endpoints.lock().unwrap_or_else(PoisonError::into_inner);
        let gone = endpoints.extract_if(|endpoint, _| !there(endpoint));
        for (endpoint, failures) in gone {
            self.endpoint_in_flight.remove(&[("endpoint", endpoint.into())]);
            for labels in failures {
                self.failures.remove(&labels);
            }
        }
    }

    /// A configuration was read.
    pub(crate) fn config_read(&self, outcome: &'static str) {
        self.config_reloads.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// An endpoint was looked at.
    pub(crate) fn scraped(&self, ok: bool) {
        let outcome = if ok { "success" } else { "failure" };
        self.scrapes.get_or_create(&[("outcome", outcome.into())]).inc();
    }
}

#[cfg(test)]
mod tests {
    use prometheus_client::encoding::text::encode;

    use super::*;

    /// The series that speak of an endpoint.
    fn series(registry: &Registry, endpoint: &str) -> Vec<String> {
        let mut text = String::new();
        encode(&mut text, registry).unwrap();
        let of_endpoint = |line: &&str| line.contains(&format!("endpoint=\"{endpoint}\""));
        text.lines().filter(of_endpoint).map(str::to_owned).collect()
    }

    #[test]
    fn series_of_endpoints_go_with_them_however_late_their_requests_end() {
        let mut registry = Registry::default();
        let metrics = Metrics::register(&mut registry);
        for endpoint in ["a", "b"] {
            metrics.endpoint_in_flight(endpoint, 3);
            metrics.attempt_failed("r", endpoint, "prefill", "connect");
            metrics.attempt_failed("r", endpoint, "decoding", "reset");
        }
        metrics.retain_endpoints(|endpoint| endpoint == "a");
        assert_eq!(series(&registry, "a").len(), 3);
        assert_eq!(series(&registry, "b"), Vec::<String>::new());
        metrics.attempt_failed("r", "b", "decoding", "reset");
        assert_eq!(series(&registry, "b").len(), 1, "it is counted");
        metrics.retain_endpoints(|endpoint| endpoint == "a");
        assert_eq!(series(&registry, "b"), Vec::<String>::new(), "and forgotten");
        assert_eq!(series(&registry, "a").len(), 3);
    }
}
