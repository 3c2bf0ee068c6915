use prometheus_client::encoding::text::encode;
use qoe_core::admit::shedding::Shedding;
use qoe_core::phase::Phase;
use qoe_core::request::analyze::Priority;

use super::*;
use crate::observe::record::tests::record;

/// The lines of the exposition; the order of series within a family says nothing.
fn exposition(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    let mut lines: Vec<_> = text.lines().collect();
    lines.sort_unstable();
    lines.join("\n") + "\n"
}

/// Names, labels, buckets and texts are what dashboards and alerts are built on.
#[test]
fn the_exposition_is_as_it_always_was() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    metrics.register_pushed(&mut registry);
    let route = route("llm/a");
    metrics.put_into_use(vec![Arc::clone(&route)], &[endpoint("d")]);
    route.ended(&record());
    for gap in [0.01, 0.0101, 0.5, 2.0] {
        route.itl.observe(gap);
    }
    route.itl_error.observe(0.125);
    route.queue(Priority::High).observe(0.25);
    route.queued[Priority::Medium as usize].inc();
    route.shed(Priority::Low, Shedding::Full).inc();
    route.ignored_headers.inc_by(2);
    route.attempt_failed("d", Phase::Decoding, "broken");
    metrics.refused("no_model");
    metrics.config_read("applied");
    metrics.scraped(true);
    metrics.config_version.set(7);
    assert_eq!(exposition(&registry), include_str!("golden.txt"));
}

/// The series with this label.
fn series(registry: &Registry, label: &str) -> Vec<String> {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    text.lines().filter(|line| line.contains(label)).map(str::to_owned).collect()
}

fn route(name: &str) -> Arc<RouteMetrics> {
    Arc::new(RouteMetrics::new(name))
}

fn endpoint(name: &str) -> Arc<EndpointState> {
    Arc::new(EndpointState::new(name, "10.0.0.1:8000"))
}

#[test]
fn series_of_endpoints_go_with_them_however_late_their_requests_end() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (route, [a, b]) = (route("r"), ["a", "b"].map(endpoint));
    metrics.put_into_use(vec![Arc::clone(&route)], &[Arc::clone(&a), Arc::clone(&b)]);
    let fail = |endpoint: &EndpointState| {
        route.attempt_failed(&endpoint.name, Phase::Prefill, "connect");
        route.attempt_failed(&endpoint.name, Phase::Decoding, "broken");
    };
    [&a, &b].into_iter().for_each(|endpoint| fail(endpoint));
    let of = |name: &str| series(&registry, &format!("endpoint=\"{name}\"")).len();
    assert_eq!((of("a"), of("b")), (3, 3));
    metrics.put_into_use(vec![Arc::clone(&route)], &[Arc::clone(&a)]);
    assert_eq!((of("a"), of("b")), (3, 0));
    fail(&b);
    assert_eq!((of("a"), of("b")), (3, 0), "a request that ended later");
    metrics.put_into_use(vec![Arc::clone(&route)], &[a]);
    assert_eq!(route.failures.totals().len(), 2, "what is shown no more is forgotten");
}

#[test]
fn series_of_routes_go_with_them_however_late_their_requests_end() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let (stays, goes) = (route("stays"), route("goes"));
    let d = endpoint("d");
    metrics.put_into_use(vec![Arc::clone(&stays), Arc::clone(&goes)], &[Arc::clone(&d)]);
    let of = |name: &str| series(&registry, &format!("route=\"{name}\"")).len();
    assert!(of("stays") > 0 && of("stays") == of("goes"));
    metrics.put_into_use(vec![stays], &[d]);
    goes.ended(&record());
    goes.attempt_failed("d", Phase::Decoding, "broken");
    goes.itl.observe(0.1);
    assert_eq!(of("goes"), 0);
    assert!(of("stays") > 0);
}

#[test]
fn requests_at_all_addresses_of_an_endpoint_are_in_flight_there() {
    let mut registry = Registry::default();
    let metrics = Metrics::register(&mut registry);
    let ports = ["10.0.0.1:8000", "10.0.0.1:8001"];
    let endpoints = ports.map(|port| Arc::new(EndpointState::new("pod", port)));
    metrics.put_into_use(Vec::new(), &endpoints);
    let _holds = endpoints.each_ref().map(|endpoint| endpoint.hold(Phase::Decoding, 1));
    assert_eq!(
        series(&registry, "endpoint=\"pod\""),
        ["qoe_endpoint_in_flight{endpoint=\"pod\"} 2"]
    );
}
