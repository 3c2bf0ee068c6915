//! Names, texts and labels of the series that routes and endpoints have.

use std::borrow::Cow;
use std::sync::Arc;

use arc_swap::ArcSwap;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};
use qoe_core::admit::shedding::Shedding;
use qoe_core::flight::timings::Outcome;
use qoe_core::request::analyze::Priority;

use crate::observe::route_metrics::{FailureKey, PRIORITIES, RouteMetrics};
use crate::observe::series::{InUse, Series, SeriesInUse, Value};
use crate::observe::sharded::{ShardedCounter, ShardedHistogram};

/// Registers the families, which show what is in use whenever they are read.
pub(super) fn register(registry: &mut Registry, in_use: &Arc<ArcSwap<InUse>>) {
    let mut families = Families { registry, in_use };
    requests(&mut families);
    times(&mut families);
    queue(&mut families);
    endpoints(&mut families);
}

struct Families<'a> {
    registry: &'a mut Registry,
    in_use: &'a Arc<ArcSwap<InUse>>,
}

/// A family's name and text. With a unit, this is appended to the name.
struct Named(&'static str, &'static str, Option<Unit>);

impl Families<'_> {
    fn add(
        &mut self,
        Named(name, help, unit): Named,
        kind: MetricType,
        series: impl Fn(&InUse) -> Vec<Series> + Send + Sync + 'static,
    ) {
        let in_use = Arc::clone(self.in_use);
        let family = SeriesInUse { in_use, kind, series: Box::new(series) };
        match unit {
            Some(unit) => self.registry.register_with_unit(name, help, unit, family),
            None => self.registry.register(name, help, family),
        }
    }

    /// A counter without labels but the route's.
    fn counter(
        &mut self,
        name: &'static str,
        help: &'static str,
        counter: fn(&RouteMetrics) -> &ShardedCounter,
    ) {
        self.add(Named(name, help, None), MetricType::Counter, move |in_use| {
            in_use.of_routes(|route| vec![count(route, [], counter(route).get())])
        });
    }

    /// A histogram without labels but the route's.
    fn histogram(&mut self, named: Named, histogram: fn(&RouteMetrics) -> &ShardedHistogram) {
        self.add(named, MetricType::Histogram, move |in_use| {
            in_use.of_routes(|route| vec![totals(route, [], histogram(route))])
        });
    }
}

fn requests(families: &mut Families<'_>) {
    let named = Named("requests", "Requests that ended, by outcome", None);
    families.add(named, MetricType::Counter, |in_use| {
        in_use.of_routes(|route| {
            let series = |outcome: Outcome| {
                let requests = route.requests[outcome as usize].get();
                count(route, [("outcome", outcome.as_str().into())], requests)
            };
            Outcome::ALL.map(series).into()
        })
    });
    let named = Named("plans", "Plans carried out, by plan and reason", None);
    families.add(named, MetricType::Counter, |in_use| {
        in_use.of_routes(|route| {
            let plans = route.plans.totals().into_iter();
            let series = plans.map(|((plan, reason), plans)| {
                let labels = [("plan", plan.into()), ("reason", reason.as_str().into())];
                count(route, labels, plans)
            });
            series.collect()
        })
    });
    let named = Named("sla", "Requests with output, by whether they met their targets", None);
    families.add(named, MetricType::Counter, |in_use| {
        in_use.of_routes(|route| {
            let names = ["false", "true"].into_iter().zip(&route.sla);
            names.map(|(met, sla)| count(route, [("met", met.into())], sla.get())).collect()
        })
    });
    let help = "Attempts of requests after their first";
    families.counter("retries", help, |route| &route.retries);
    families.counter("output_tokens", "Output tokens", |route| &route.tokens);
    let help = "Request headers that were ignored because their values were invalid";
    families.counter("ignored_headers", help, |route| &route.ignored_headers);
}

fn times(families: &mut Families<'_>) {
    let seconds = |name, help| Named(name, help, Some(Unit::Seconds));
    let named = seconds("time_to_first_token", "TTFT of streamed answers");
    families.histogram(named, |route| &route.ttft);
    let named = seconds("request_duration", "Time from a request's arrival to its end");
    families.histogram(named, |route| &route.duration);
    let named = seconds("prefill", "Duration of the prefill legs of handoffs");
    families.histogram(named, |route| &route.prefill);
    let help = "Time from sending the decoding leg to its first token";
    families.histogram(seconds("transfer_and_queue", help), |route| &route.transfer_and_queue);
    let help = "Time between tokens of a stream, observed once per arrival at the router";
    families.histogram(seconds("inter_token_latency", help), |route| &route.itl);
    let help = "QoE of streamed answers (Andes), 0 to 1";
    families.histogram(Named("request_qoe", help, None), |route| &route.qoe);
    let help = "Error of forecasts relative to the measured value, by forecast quantity";
    let named = Named("forecast_error_ratio", help, None);
    families.add(named, MetricType::Histogram, |in_use| {
        in_use.of_routes(|route| {
            let errors = [("ttft", &route.ttft_error), ("itl", &route.itl_error)];
            let series = |(forecast, errors): (&'static str, _)| {
                totals(route, [("forecast", forecast.into())], errors)
            };
            errors.map(series).into()
        })
    });
}

fn queue(families: &mut Families<'_>) {
    let named = Named("queued", "Requests waiting in the router's queue", None);
    families.add(named, MetricType::Gauge, |in_use| {
        in_use.of_routes(|route| {
            let series = |priority: Priority| {
                let waiting = Value::Gauge(route.queued[priority as usize].get());
                of_route(route, [priority_label(priority)], waiting)
            };
            PRIORITIES.map(series).into()
        })
    });
    let help = "Time that requests which may be queued waited before their first plan";
    let named = Named("queue", help, Some(Unit::Seconds));
    families.add(named, MetricType::Histogram, |in_use| {
        in_use.of_routes(|route| {
            let series =
                |priority| totals(route, [priority_label(priority)], route.queue(priority));
            PRIORITIES.map(series).into()
        })
    });
    let help = "Requests refused for load: the queue was full, or their target unattainable";
    families.add(Named("shed", help, None), MetricType::Counter, |in_use| {
        in_use.of_routes(|route| {
            let series = |priority, why: Shedding| {
                let labels = [priority_label(priority), ("reason", why.as_str().into())];
                count(route, labels, route.shed(priority, why).get())
            };
            let of = |priority| Shedding::ALL.map(|why| series(priority, why));
            PRIORITIES.into_iter().flat_map(of).collect()
        })
    });
}

fn endpoints(families: &mut Families<'_>) {
    let named = Named("failures", "Attempts that failed at an endpoint", None);
    families.add(named, MetricType::Counter, |in_use| {
        in_use.of_routes(|route| {
            let failures = route.failures.totals().into_iter();
            // A request may end later than its endpoint.
            let there = failures.filter(|(key, _)| in_use.endpoints.contains_key(&key.endpoint));
            let series = there.map(|(FailureKey { endpoint, phase, failure }, failures)| {
                let endpoint = ("endpoint", endpoint.to_string().into());
                let labels = [endpoint, ("phase", phase.into()), ("failure", failure.into())];
                count(route, labels, failures)
            });
            series.collect()
        })
    });
    let help = "Requests of this router in flight at an endpoint";
    let named = Named("endpoint_in_flight", help, None);
    families.add(named, MetricType::Gauge, |in_use| {
        let series = in_use.endpoints.iter().map(|(name, states)| {
            let in_flight = states.iter().map(|state| i64::from(state.ledger.in_flight_all()));
            let labels = vec![("endpoint", Cow::Owned(name.to_string()))];
            Series { labels, value: Value::Gauge(in_flight.sum()) }
        });
        series.collect()
    });
}

type Label = (&'static str, Cow<'static, str>);

fn priority_label(priority: Priority) -> Label {
    ("priority", priority.as_str().into())
}

fn of_route<const N: usize>(route: &RouteMetrics, labels: [Label; N], value: Value) -> Series {
    let route = ("route", Cow::Owned(route.route.to_string()));
    Series { labels: [route].into_iter().chain(labels).collect(), value }
}

fn count<const N: usize>(route: &RouteMetrics, labels: [Label; N], count: u64) -> Series {
    of_route(route, labels, Value::Counter(count))
}

fn totals<const N: usize>(
    route: &RouteMetrics,
    labels: [Label; N],
    histogram: &ShardedHistogram,
) -> Series {
    of_route(route, labels, Value::Histogram(histogram.totals()))
}
