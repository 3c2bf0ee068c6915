//! The load report that controllers get of each route.

use std::time::Duration;

use qoe_core::endpoint::Endpoint;
use qoe_core::phase::{Phase, Role};
use qoe_discovery::proto::{DecodingLoad, PrefillLoad, RouteLoad};

use crate::routes::route::Route;

/// The report on one route: its endpoints as they are now, and what its requests added since the last report.
#[expect(clippy::cast_precision_loss, reason = "sums of one second are far below 2^52")]
pub(crate) fn report(route: &Route, now: Duration) -> RouteLoad {
    let sums = route.state.load.since_last_report();
    let seconds = |micros: u64| micros as f64 / 1e6;
    let readers: Vec<&Endpoint> = able_to(route, Role::Decoding);
    let decoders: Vec<&Endpoint> = able_to(route, Role::Prefill);
    let speeds: Vec<f64> = readers
        .iter()
        .filter_map(|e| e.state.signals.prefill_speed.get(now))
        .map(|speed| speed.value)
        .collect();
    let kv: Vec<f64> = decoders
        .iter()
        .filter_map(|e| e.state.signals.kv_use.get(now))
        .filter(|kv| kv.weight > MIN_WEIGHT)
        .map(|kv| kv.value)
        .collect();
    RouteLoad {
        route: route.name.to_string(),
        prefill: Some(PrefillLoad {
            unread_tokens: (readers.iter().map(|e| e.state.ledger.unread()).sum::<u64>()
                + route.state.admission.tokens()) as f64,
            tokens_per_second: if speeds.is_empty() {
                0.0
            } else {
                speeds.iter().sum::<f64>() / speeds.len() as f64
            },
            first_tokens: sums.first_tokens,
            ttft_seconds: seconds(sums.ttft_micros),
            prompt_tokens: sums.prompt_tokens as f64,
        }),
        decoding: Some(DecodingLoad {
            streams: decoders.iter().map(|e| e.state.ledger.in_flight(Phase::Decoding)).sum(),
            kv_use: kv.iter().sum(),
            kv_endpoints: u32::try_from(kv.len()).unwrap_or(u32::MAX),
            gaps: sums.gaps,
            gap_seconds: seconds(sums.gap_micros),
        }),
    }
}

/// A scraped value that weighs less than this is too old to scale by: it comes after 12 s, as weights fall to 1/e in
/// 10 s. At half, an endpoint that went silent counts for 19 s; at double, for 5 s, less than a look at it may take.
const MIN_WEIGHT: f64 = 0.3;

/// The endpoints that do more than the `other` phase; all of them, where none does.
fn able_to(route: &Route, other: Role) -> Vec<&Endpoint> {
    let able: Vec<_> = route.pool.iter().filter(|endpoint| endpoint.role != other).collect();
    if able.is_empty() { route.pool.iter().collect() } else { able }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use qoe_core::admit::ask::Ask;
    use qoe_core::endpoint::connector::Connector;
    use qoe_core::endpoint::holds::PromptHold;
    use qoe_core::endpoint::state::{EndpointState, Scheduling};
    use qoe_core::phase::RoleSource;
    use qoe_core::request::analyze::Priority;
    use qoe_core::speed::models::Models;
    use qoe_core::speed::work::PromptWork;

    use super::*;
    use crate::clock::Clock;
    use crate::queue::place::QueuePlace;
    use crate::routes::lower::lower;
    use crate::routes::snapshot::Snapshot;
    use crate::routes::source::{EndpointSource, RouteSource};
    use qoe_core::phase::{Phase, Role};
    use qoe_discovery::proto::{DecodingLoad, PrefillLoad, RouteLoad};

    const NOW: Duration = Duration::from_secs(100);

    /// A route over endpoints of these roles.
    fn route(roles: &[Role]) -> Arc<Route> {
        let endpoint = |(i, role): (usize, &Role)| EndpointSource {
            name: format!("e{i}"),
            authority: format!("10.0.0.1:{}", 8000 + i),
            role: *role,
            role_source: RoleSource::Label,
            connector: Connector::NixlPull,
            group: None,
            scheduling: Scheduling::Fcfs,
            models: Vec::new(),
        };
        let endpoints = roles.iter().enumerate().map(endpoint).collect();
        let spec = qoe_api::QoERouteSpec::default();
        let source = Arc::new(RouteSource { name: "llm/r".to_owned(), spec, endpoints });
        let (snapshot, _) = lower(&[source], &Snapshot::default());
        Arc::clone(&snapshot.routes[0])
    }

    fn read(state: &Arc<EndpointState>, tokens: u32) -> PromptHold {
        let work = PromptWork { uncached: f64::from(tokens), ..PromptWork::default() };
        state.reads(work, true, &Models::default(), NOW)
    }

    fn parts(route: &Route) -> (PrefillLoad, DecodingLoad) {
        let RouteLoad { route, prefill, decoding } = report(route, NOW);
        assert_eq!(route, "llm/r");
        (prefill.expect("it is told"), decoding.expect("it is told"))
    }

    #[test]
    fn each_phase_is_told_by_the_endpoints_that_can_do_it() {
        let route = route(&[Role::Prefill, Role::Decoding, Role::Mixed]);
        let state = |i: usize| &route.pool[i].state;
        for (i, (unread, speed, kv)) in
            [(100, 1000.0, 0.9), (10, 9.0, 0.2), (1, 3000.0, 0.4)].into_iter().enumerate()
        {
            std::mem::forget(read(state(i), unread));
            state(i).signals.prefill_speed.set(speed, NOW);
            state(i).signals.kv_use.set(kv, NOW);
        }
        let _streams = [1, 1, 2].map(|i| state(i).hold(Phase::Decoding, 7));
        let _prefill = state(0).hold(Phase::Prefill, 7);
        let (prefill, decoding) = parts(&route);
        assert_eq!((prefill.unread_tokens, prefill.tokens_per_second), (101.0, 2000.0));
        assert_eq!((decoding.streams, decoding.kv_endpoints), (3, 2));
        assert!((decoding.kv_use - 0.6).abs() < 1e-9, "a sum: {}", decoding.kv_use);
    }

    #[test]
    fn prompts_that_wait_in_the_router_are_unread_too() {
        let route = route(&[Role::Prefill, Role::Decoding]);
        std::mem::forget(read(&route.pool[0].state, 30));
        let ask = Ask {
            priority: Priority::Low,
            arrived: NOW,
            within: Duration::from_secs(1),
            needs: Duration::ZERO,
        };
        let place =
            QueuePlace::enter(&route.state.admission, Clock::start(), ask, 500).map_err(drop);
        assert_eq!(parts(&route).0.unread_tokens, 530.0);
        drop(place);
        assert_eq!(parts(&route).0.unread_tokens, 30.0);
    }

    #[test]
    fn where_nobody_is_for_a_phase_all_are() {
        let route = route(&[Role::Decoding, Role::Decoding]);
        std::mem::forget(read(&route.pool[1].state, 30));
        route.pool[0].state.signals.kv_use.set(0.5, NOW);
        let (prefill, decoding) = parts(&route);
        assert_eq!((prefill.unread_tokens, decoding.kv_endpoints), (30.0, 1));
    }

    #[test]
    fn what_is_not_known_or_long_ago_is_not_told() {
        let route = route(&[Role::Mixed]);
        let signals = &route.pool[0].state.signals;
        let (prefill, decoding) = parts(&route);
        assert_eq!((prefill.tokens_per_second, decoding.kv_endpoints), (0.0, 0));
        signals.kv_use.set(0.5, NOW - Duration::from_secs(10));
        assert_eq!(parts(&route).1.kv_endpoints, 1);
        signals.kv_use.set(0.5, NOW - Duration::from_secs(15));
        assert_eq!(parts(&route).1.kv_endpoints, 0);
        signals.prefill_speed.set(800.0, NOW - Duration::from_secs(90));
        assert_eq!(parts(&route).0.tokens_per_second, 800.0, "what was learned stays");
    }

    #[test]
    fn what_is_counted_is_told_once() {
        let route = route(&[Role::Mixed]);
        let sums = &route.state.load;
        sums.first_token(Duration::from_millis(250), 1000);
        sums.first_token(Duration::from_millis(150), 500);
        sums.tokens(4, 0.02);
        sums.tokens(1, 0.12);
        let (prefill, decoding) = parts(&route);
        assert_eq!((prefill.first_tokens, prefill.prompt_tokens), (2, 1500.0));
        assert!((prefill.ttft_seconds - 0.4).abs() < 1e-6, "{prefill:?}");
        assert_eq!(decoding.gaps, 5);
        assert!((decoding.gap_seconds - 0.2).abs() < 1e-5, "{decoding:?}");
        assert_eq!(parts(&route), (PrefillLoad::default(), DecodingLoad::default()));
    }
}
