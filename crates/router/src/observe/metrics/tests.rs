use prometheus_client::encoding::text::encode;

use qoe_core::flight::timings::Timings;
use qoe_core::phase::Phase;
use qoe_core::plan::reason::Reason;

use super::*;
use crate::observe::record::Record;

/// A request of route `llm/a` that was handed over and answered.
fn record() -> Record {
    Record {
        ended_at_ms: 0,
        request_id: "r".into(),
        route: "llm/a".into(),
        api: "chat",
        model: None,
        session: None,
        phase: Phase::Prefill,
        priority: "low",
        stream: true,
        prompt_tokens: 900,
        plan: Some("handoff"),
        reason: Some(Reason::StreamsSpared),
        prefill: Some("p".into()),
        decoding: Some("d".into()),
        attempts: 3,
        queued: 0.0,
        forecast_ttft: None,
        forecast_itl: None,
        outcome: Outcome::Success,
        status: Some(200),
        failure: None,
        failed_phase: None,
        timings: Timings {
            prefill: Some(0.05),
            transfer_and_queue: Some(0.011),
            ttft: Some(0.0625),
            itl: Some(0.01),
            decoding: Some(0.5),
            total: 75.0,
            tokens: 50,
            qoe: Some(1.0),
            sla_met: Some(true),
        },
    }
}

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
    let route = metrics.of_route("llm/a");
    route.ended(&record());
    for gap in [0.01, 0.0101, 0.5, 2.0] {
        route.itl.observe(gap);
    }
    route.itl_error.observe(0.125);
    route.queue(Priority::High).observe(0.25);
    route.queued(Priority::Medium).inc();
    route.shed(Priority::Low, Shedding::Full).inc();
    route.ignored_headers.inc_by(2);
    metrics.attempt_failed("llm/a", "d", "decoding", "broken");
    metrics.endpoint_in_flight("d", 0);
    metrics.refused("no_model");
    metrics.config_read("applied");
    metrics.scraped(true);
    metrics.config_version.set(7);
    assert_eq!(exposition(&registry), include_str!("golden.txt"));
}

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
