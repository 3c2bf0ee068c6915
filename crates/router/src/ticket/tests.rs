use std::time::Duration;

use http::StatusCode;
use qoe_core::request::analyze::WholeReason;

use super::*;
use crate::observe::sharded::ShardedCounter;
use crate::routes::source::RouteSource;
use crate::ticket::fake::OneRoute;
use crate::upstream::error::UpstreamError;

const WHOLE: (Reason, Option<Forecast>) = (Reason::Whole(WholeReason::OtherApi), None);

fn failure() -> Failure {
    Failure::Upstream {
        route: "main".into(),
        phase: Phase::Prefill,
        endpoint: "d".into(),
        error: UpstreamError::Timeout(Duration::from_secs(1)),
    }
}

/// Requests that count as in flight on the route.
fn in_flight(router: &OneRoute) -> u32 {
    router.route.state.in_flight.load(Ordering::Relaxed)
}

/// Requests that metrics have counted, by any outcome.
fn counted(router: &OneRoute) -> u64 {
    router.route.state.metrics.requests.iter().map(ShardedCounter::get).sum()
}

/// One way for a request to end.
type End = fn(Ticket) -> Option<Ticket>;

fn succeed(mut ticket: Ticket) -> Option<Ticket> {
    ticket.succeeded();
    Some(ticket)
}

fn fail(mut ticket: Ticket) -> Option<Ticket> {
    ticket.failed(&failure());
    Some(ticket)
}

fn break_off(mut ticket: Ticket) -> Option<Ticket> {
    ticket.broke_off("idle");
    Some(ticket)
}

fn cut(mut ticket: Ticket) -> Option<Ticket> {
    ticket.cut();
    Some(ticket)
}

fn leave(ticket: Ticket) -> Option<Ticket> {
    drop(ticket);
    None
}

const ENDS: [(End, Outcome, Option<&str>, Option<Phase>); 5] = [
    (succeed, Outcome::Success, None, None),
    (fail, Outcome::Failure, Some("timeout"), Some(Phase::Prefill)),
    (break_off, Outcome::Failure, Some("idle"), Some(Phase::Decoding)),
    (cut, Outcome::Failure, Some("drain_deadline"), Some(Phase::Decoding)),
    (leave, Outcome::ClientGone, None, Some(Phase::Decoding)),
];

#[test]
fn it_settles_once_by_whatever_comes_first() {
    for (first, outcome, failure, phase) in ENDS {
        for (second, ..) in ENDS {
            let router = OneRoute::new();
            let ticket = router.answered();
            assert_eq!((in_flight(&router), router.endpoint().ledger.in_flight_all()), (1, 1));
            drop(first(ticket).and_then(second));
            let record = router.record();
            assert_eq!(
                (record.outcome, record.failure, record.failed_phase),
                (outcome, failure, phase)
            );
            assert_eq!(counted(&router), 1);
            assert_eq!((in_flight(&router), router.endpoint().ledger.in_flight_all()), (0, 0));
        }
    }
}

#[test]
fn a_whole_answer_is_what_its_status_says() {
    for (status, outcome) in [
        (None, Outcome::Success),
        (Some(200), Outcome::Success),
        (Some(404), Outcome::ClientError),
        (Some(429), Outcome::Rejected),
        (Some(500), Outcome::Failure),
    ] {
        let router = OneRoute::new();
        let mut ticket = router.sent();
        if let Some(status) = status {
            ticket.answered(StatusCode::from_u16(status).expect("a status"));
        }
        ticket.succeeded();
        let record = router.record();
        assert_eq!((record.status, record.outcome), (status, outcome));
    }
}

#[test]
fn a_failure_is_recorded_with_the_status_that_the_client_got() {
    let router = OneRoute::new();
    let mut ticket = router.sent();
    ticket.failed(&failure());
    assert_eq!(router.record().status, Some(504), "that of the failure");
    let mut ticket = router.answered();
    ticket.failed(&failure());
    assert_eq!(router.records()[0].status, Some(200), "the head was sent already");
    assert_eq!(router.records()[0].timings.sla_met, Some(false));
}

#[test]
fn a_request_that_leaves_is_recorded_with_its_phase() {
    let router = OneRoute::new();
    let mut ticket = router.ticket();
    let endpoint = router.endpoint();
    ticket.planned(WHOLE, Some(endpoint), endpoint);
    ticket.prefill_sent();
    drop(ticket);
    assert_eq!(router.record().failed_phase, Some(Phase::Prefill));
    assert_eq!(router.record().plan, Some("handoff"));
    drop(router.sent());
    assert_eq!(router.records()[0].failed_phase, Some(Phase::Decoding));
}

#[test]
fn a_full_route_refuses_until_one_has_ended() {
    let router = OneRoute::new();
    let first = router.ticket();
    let _second = router.ticket();
    let open = || Ticket::open(&router.shared, &router.route, OneRoute::asked(10), Duration::ZERO);
    let refused = open().err().expect("the route takes two");
    assert!(matches!(refused, Failure::TooManyInFlight { limit: 2, .. }), "{refused}");
    drop(first);
    assert_eq!(in_flight(&router), 1, "the refused one never counted");
    assert!(open().is_ok());
}

#[test]
fn one_that_waits_counts_once_it_enters_and_once_only() {
    let router = OneRoute::new();
    let asked = OneRoute::asked(10);
    let mut ticket = Ticket::waiting(&router.shared, &router.route, asked, router.shared.now());
    assert!(ticket.may_wait() && !router.ticket().may_wait());
    assert_eq!(in_flight(&router), 0);
    assert!(ticket.enter() && ticket.enter());
    assert_eq!(in_flight(&router), 1);
    ticket.step_back();
    ticket.step_back();
    assert_eq!(in_flight(&router), 0);
    let others = [router.ticket(), router.ticket()];
    assert!(!ticket.enter(), "the route is full");
    drop(others);
    assert!(ticket.enter());
    drop(ticket);
    assert_eq!(in_flight(&router), 0);
}

#[test]
fn each_plan_holds_its_own_endpoints() {
    let router = OneRoute::new();
    let other = Arc::new(EndpointState::new("p", "127.0.0.1:2"));
    let held = |endpoint: &EndpointState| endpoint.ledger.in_flight_all();
    let mut ticket = router.ticket();
    ticket.planned(WHOLE, Some(&other), router.endpoint());
    assert_eq!((held(&other), held(router.endpoint())), (1, 1));
    ticket.planned(WHOLE, None, router.endpoint());
    assert_eq!((held(&other), held(router.endpoint())), (0, 1));
    ticket.succeeded();
    assert_eq!(held(router.endpoint()), 0);
    let record = router.record();
    assert_eq!((record.plan, record.prefill, record.attempts), (Some("local"), None, 2));
    assert_eq!(record.decoding.as_deref(), Some("d"));
}

#[test]
fn answers_that_break_off_tell_against_their_endpoint_and_whole_ones_for_it() {
    let router = OneRoute::new();
    // An ejection ends some seconds after now, and so after the beginning of time.
    let ejected = || router.endpoint().health.ejected(Duration::ZERO);
    for end in [break_off, break_off, succeed, break_off, break_off] {
        drop(end(router.answered()));
        assert!(!ejected(), "never three in a row");
    }
    drop(break_off(router.answered()));
    assert!(ejected());
}

#[test]
fn tokens_are_those_that_passed_or_those_the_endpoint_counted() {
    let router = OneRoute::new();
    for (usage, tokens) in [(None, 5), (Some(8), 8)] {
        let mut ticket = router.answered();
        for tokens in [0, 2, 3] {
            ticket.streamed(tokens);
        }
        if let Some(completion_tokens) = usage {
            ticket.counted(qoe_core::response::usage::Usage {
                completion_tokens,
                ..Default::default()
            });
        }
        ticket.succeeded();
        let timings = &router.records()[0].timings;
        assert_eq!(timings.tokens, tokens);
        assert!(timings.ttft.is_some() && timings.itl.is_some());
    }
}

#[test]
fn the_plan_is_explained_in_headers() {
    let router = OneRoute::new();
    let mut ticket = router.ticket();
    let header = |ticket: &Ticket, name| {
        ticket.explained().into_iter().find(|(header, _)| *header == name).expect("known").1
    };
    assert_eq!(header(&ticket, "x-qoe-plan"), None);
    assert_eq!(header(&ticket, "x-qoe-attempts").as_deref(), Some("0"));
    let forecast = Forecast { ttft: 0.25, itl: 0.0204, ..Forecast::default() };
    ticket.planned((WHOLE.0, Some(forecast)), Some(router.endpoint()), router.endpoint());
    for (name, value) in [
        ("x-qoe-route", "main"),
        ("x-qoe-plan", "handoff"),
        ("x-qoe-reason", WHOLE.0.as_str()),
        ("x-qoe-prefill", "d"),
        ("x-qoe-decoding", "d"),
        ("x-qoe-attempts", "1"),
        ("x-qoe-queued-ms", "0.0"),
        ("x-qoe-forecast-ttft-ms", "250.0"),
        ("x-qoe-forecast-itl-ms", "20.4"),
    ] {
        assert_eq!(header(&ticket, name).as_deref(), Some(value), "{name}");
    }
}

#[test]
fn it_follows_its_route_to_a_new_configuration() {
    let router = OneRoute::new();
    let mut ticket = router.ticket();
    let mut source = RouteSource::clone(&router.route.source);
    source.spec.limits.max_in_flight = 7;
    router.shared.configure(&[Arc::new(source)]);
    assert_eq!(ticket.route().max_in_flight, 2);
    ticket.follow(&router.shared.snapshot.load());
    assert_eq!(ticket.route().max_in_flight, 7);
    router.shared.configure(&[]);
    ticket.follow(&router.shared.snapshot.load());
    assert_eq!(ticket.route().max_in_flight, 7, "a removed route serves what it has");
}
