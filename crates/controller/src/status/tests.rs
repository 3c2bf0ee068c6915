use std::sync::Arc;
use std::time::Duration;

use qoe_core::scale::ScaleReason;
use qoe_discovery::server::World;

use super::*;
use crate::index::tests::{key, manifest, raw};
use crate::index::{Index, View};
use crate::pod::tests::{facts, ready};
use crate::translate::Pods;

/// What became of the route `r` over two pods; one of them can serve.
fn outcome() -> RouteOutcome {
    let (_, view) = indexed(&manifest("r", &["m"]));
    (*view.routes[&key("r")].1).clone()
}

fn indexed(manifest: &serde_json::Value) -> (Arc<World>, View) {
    let mut index = Index::new("default");
    index.route(raw(manifest.clone()));
    let labels = |role: &str| serde_json::json!({"app": "vllm", "role": role});
    index.pod("llm", facts(ready("p", "10.0.0.1", labels("prefill"))));
    index.pod("llm", facts(ready("d", "10.0.0.2", labels("decode"))));
    let mut pending = ready("e", "10.0.0.3", labels("decode"));
    pending["status"]["conditions"] = serde_json::json!([]);
    index.pod("llm", facts(pending));
    index.publish(Duration::ZERO)
}

fn route() -> Route {
    let (_, view) = indexed(&manifest("r", &["m"]));
    (*view.routes[&key("r")].0).clone()
}

/// A route whose last status says that it was programmed.
fn programmed_before() -> Route {
    let mut route = route();
    route.observed.conditions = vec![Condition {
        type_: "Programmed".to_owned(),
        status: "True".to_owned(),
        reason: "Programmed".to_owned(),
        message: String::new(),
        observed_generation: Some(1),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }];
    route
}

fn by(connected: u32, programmed: u32) -> Programmed {
    Programmed { connected, programmed, refused: None }
}

/// `True Accepted`, and so on, in the order of the conditions.
fn reasons(
    route: &Route,
    outcome: &RouteOutcome,
    programmed: &Programmed,
    fresh: bool,
) -> [(bool, &'static str); 4] {
    let facts = Facts { route, outcome, programmed, fresh, hints: None };
    let verdicts = verdicts(&facts);
    let kinds = verdicts.each_ref().map(|verdict| verdict.kind);
    assert_eq!(kinds, ["Accepted", "ResolvedRefs", "Programmed", "Ready"]);
    for ConditionState { message, .. } in &verdicts {
        assert!(message.ends_with(['.', '?']) || message.contains(": "), "a sentence: {message}");
    }
    verdicts.map(|verdict| (verdict.holds, verdict.reason))
}

#[test]
fn whether_it_is_programmed() {
    let refused = |connected, programmed| {
        let refused = Some(("router-1".to_owned(), "it is bad".to_owned()));
        Programmed { connected, programmed, refused }
    };
    let (new, old) = (route(), programmed_before());
    for (what, route, programmed, fresh, wanted) in [
        ("all have answered", &new, by(2, 2), false, (true, "Programmed")),
        ("one is late", &new, by(2, 1), false, (false, "Pending")),
        ("it is new", &new, by(2, 1), true, (false, "Pending")),
        ("one is late with a change", &old, by(2, 1), false, (false, "Pending")),
        ("a change is under way", &old, by(2, 1), true, (true, "Programmed")),
        ("nobody is there", &new, by(0, 0), false, (false, "NoRouters")),
        ("nobody is there yet", &new, by(0, 0), true, (false, "Pending")),
        ("the controller is new", &old, by(0, 0), true, (true, "Programmed")),
        ("nobody is there any more", &old, by(0, 0), false, (false, "NoRouters")),
        ("one refuses", &old, refused(2, 1), true, (false, "RouterRefused")),
    ] {
        let [accepted, resolved, programmed, ready] =
            reasons(route, &outcome(), &programmed, fresh);
        assert_eq!((accepted, resolved), ((true, "Accepted"), (true, "Resolved")));
        assert_eq!(programmed, wanted, "{what}");
        let wanted = if wanted.0 { (true, "Ready") } else { wanted };
        assert_eq!(ready, wanted, "{what}: it is ready by that");
    }
}

#[test]
fn whether_it_is_accepted() {
    let lost = vec![("m".to_owned(), key("old"))];
    let invalid = Acceptance::Invalid("spec.slo: bad".to_owned());
    let (route, all) = (route(), by(1, 1));
    for (acceptance, wanted, ready) in [
        (Acceptance::Accepted, (true, "Accepted"), (true, "Ready")),
        (Acceptance::Partly(lost.clone()), (true, "PartlyAccepted"), (true, "Ready")),
        (Acceptance::Conflict(lost), (false, "ModelConflict"), (false, "ModelConflict")),
        (invalid.clone(), (false, "Invalid"), (false, "Invalid")),
    ] {
        let outcome = RouteOutcome { acceptance, ..outcome() };
        let got = reasons(&route, &outcome, &all, false);
        assert_eq!((got[0], got[3]), (wanted, ready));
    }
    let nothing = RouteOutcome { acceptance: invalid, translation: None, nonce: 0, ..outcome() };
    let wanted =
        [(false, "Invalid"), (false, "Invalid"), (false, "NotAccepted"), (false, "Invalid")];
    assert_eq!(reasons(&route, &nothing, &by(1, 0), false), wanted);
}

#[test]
fn what_is_odd_about_pods_is_said_and_stops_only_who_has_no_other() {
    let (route, all) = (route(), by(1, 1));
    let with = |change: fn(&mut Translation)| {
        let mut outcome = outcome();
        change(outcome.translation.as_mut().expect("it is translated"));
        let got = reasons(&route, &outcome, &all, false);
        (got[1], got[3])
    };
    let some = || Pods::of(&["a", "b"]);
    assert!(some().count > 0);
    let nobody: fn(&mut Translation) = |t| {
        t.selected = 0;
        t.config.endpoints.clear();
    };
    let no_port: fn(&mut Translation) = |t| t.findings.port_missing = Pods::of(&["a"]);
    let no_port_at_all: fn(&mut Translation) = |t| {
        t.findings.port_missing = Pods::of(&["a"]);
        t.config.endpoints.clear();
    };
    let no_address: fn(&mut Translation) = |t| t.findings.address_bad = Pods::of(&["a"]);
    let nobody_ready: fn(&mut Translation) = |t| t.config.endpoints.clear();
    let nobody_decodes: fn(&mut Translation) = |t| t.decoding.ready = 0;
    for (change, resolved, ready) in [
        (nobody, (false, "NoPodsSelected"), (false, "NoPodsSelected")),
        (no_port, (false, "PortNotFound"), (true, "Ready")),
        (no_port_at_all, (false, "PortNotFound"), (false, "PortNotFound")),
        (no_address, (false, "AddressUnusable"), (true, "Ready")),
        (nobody_ready, (true, "Resolved"), (false, "NoEndpoints")),
        (nobody_decodes, (true, "Resolved"), (true, "DecodingPoolEmpty")),
    ] {
        assert_eq!(with(change), (resolved, ready));
    }
}

#[test]
fn the_status_counts_endpoints_per_phase_and_routers() {
    let (route, outcome, programmed) = (route(), outcome(), by(3, 2));
    let hints = Some(Hints {
        prefill: Hint { desired: 4, reason: ScaleReason::PromptBacklog },
        decoding: Hint { desired: 2, reason: ScaleReason::NoData },
    });
    let facts =
        Facts { route: &route, outcome: &outcome, programmed: &programmed, fresh: false, hints };
    let status = status(&facts, Timestamp::UNIX_EPOCH);
    assert_eq!(status.observed_generation, Some(1));
    assert_eq!((status.prefill.as_deref(), status.decoding.as_deref()), (Some("1/1"), Some("1/2")));
    let phase = |ready, total, desired, reason: &str| PhaseStatus {
        ready,
        total,
        desired_replicas: Some(desired),
        reason: Some(reason.to_owned()),
    };
    let phases = PhasesStatus {
        prefill: phase(1, 1, 4, "PromptBacklog"),
        decoding: phase(1, 2, 2, "NoData"),
    };
    assert_eq!(status.phases, Some(phases));
    assert_eq!(status.routers, Some(RoutersStatus { connected: 3, programmed: 2 }));
}

#[test]
fn of_a_route_that_cannot_be_translated_nothing_is_counted() {
    let (route, programmed) = (route(), by(1, 0));
    let acceptance = Acceptance::Invalid("spec.slo: bad".to_owned());
    let outcome =
        RouteOutcome { acceptance, translation: None, nonce: 0, published: Duration::ZERO };
    let facts = Facts {
        route: &route,
        outcome: &outcome,
        programmed: &programmed,
        fresh: false,
        hints: None,
    };
    let status = status(&facts, Timestamp::UNIX_EPOCH);
    assert_eq!((status.prefill, status.decoding, status.phases), (None, None, None));
}

#[test]
fn a_condition_keeps_its_time_until_it_turns_and_every_one_knows_its_generation() {
    let (mut route, outcome, all) = (route(), outcome(), by(1, 1));
    let at = |second| Timestamp::from_second(second).unwrap();
    let status_at = |route: &Route, programmed: &Programmed, now| {
        let facts = Facts { route, outcome: &outcome, programmed, fresh: false, hints: None };
        status(&facts, now)
    };
    let times = |status: &QoERouteStatus| -> Vec<i64> {
        status.conditions.iter().map(|c| c.last_transition_time.0.as_second()).collect()
    };
    // With parts of a second, which the API does not keep: what comes back must be the same.
    let first = status_at(&route, &all, Timestamp::from_millisecond(10_700).unwrap());
    assert_eq!(times(&first), [10; 4]);
    let back = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
    assert_eq!(first, back);
    route.observed = first.clone();
    assert_eq!(status_at(&route, &all, at(20)), first, "nothing changed");
    route.generation = 2;
    let late = status_at(&route, &by(2, 1), at(30));
    assert_eq!(times(&late), [10, 10, 30, 30], "what turned, turned now");
    assert!(late.conditions.iter().all(|c| c.observed_generation == Some(2)));
}
