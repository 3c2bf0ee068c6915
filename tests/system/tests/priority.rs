//! Endpoints that schedule by priority are told the priority of each request; others are not.

use qoe_sim::engine::Scheduling;
use qoe_sim::{Config, Role, Server};
use qoe_tests::bodies::{CHAT, COMPLETIONS, chat, completion, with};
use qoe_tests::client::{explained, send, with_header};
use qoe_tests::proxy::{Proxy, always, endpoint, simulator};
use qoe_tests::tap::Tap;
use qoe_tests::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// An endpoint whose configuration says that it schedules by priority.
fn by_priority(endpoint: Value) -> Value {
    with(endpoint, "scheduling", "Priority")
}

#[tokio::test]
async fn both_legs_say_it_to_endpoints_that_go_by_it() {
    let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let (tap_p, tap_d) = (Tap::before(p.addr).await, Tap::before(d.addr).await);
    let endpoints = [
        by_priority(endpoint("p", tap_p.addr, "prefill")),
        by_priority(endpoint("d", tap_d.addr, "decode")),
    ];
    let proxy = Proxy::start(&always(), &endpoints);
    let dump = proxy.admin("/config_dump").await;
    assert_eq!(dump["routes"][0]["endpoints"][0]["scheduling"], "priority");
    for (path, body) in [(CHAT, chat(40, 3)), (COMPLETIONS, completion(40, 3))] {
        let own = with(body.clone(), "priority", -3);
        for (header, body, said) in
            [("1", &body, 0), ("2", &body, 1), ("3", &body, 2), ("3", &own, -3)]
        {
            let request = with_header(explained(path, body), "x-request-priority", header);
            let answer = send(proxy.address(), request).await;
            assert_eq!((answer.status.as_u16(), answer.header("x-qoe-plan")), (200, "handoff"));
            for tap in [&tap_p, &tap_d] {
                let legs = tap.requests(path);
                let id = answer.header("x-request-id");
                let leg = legs.iter().find(|leg| leg.header("x-request-id") == id).expect("a leg");
                assert_eq!(leg.json()["priority"], said, "{header} on {path}");
            }
        }
    }
}

#[tokio::test]
async fn others_would_refuse_it_and_are_not_told() {
    let server = simulator(Role::Both).await;
    let tap = Tap::before(server.addr).await;
    let proxy = Proxy::start(&always(), &[endpoint("e", tap.addr, "both")]);
    let request = with_header(explained(CHAT, &chat(4, 3)), "x-request-priority", "1");
    assert_eq!(send(proxy.address(), request).await.status, 200);
    let legs = tap.requests(CHAT);
    assert_eq!(legs.len(), 1);
    assert!(legs[0].json()["priority"].is_null());
}

#[tokio::test]
async fn an_engine_that_goes_by_it_serves_the_most_urgent_first() {
    let config =
        Config { scheduling: Scheduling::Priority, max_sequences: Some(1), ..Config::default() };
    let server = Server::start(config).await.unwrap();
    let spec = with(always(), "limits", json!({"maxQueued": 0}));
    // One worker: two could note the ends of two requests in another order than they came.
    let proxy = Proxy::with_one_worker(&spec, &[by_priority(endpoint("e", server.addr, "both"))]);
    server.pause();
    let mut asking = JoinSet::new();
    for (before, (id, header)) in [("low", "3"), ("medium", "2"), ("high", "1")].iter().enumerate()
    {
        let request = with_header(explained(CHAT, &chat(12, 500)), "x-request-id", id);
        let request = with_header(request, "x-request-priority", header);
        let address = proxy.address();
        asking.spawn(async move { send(address, request).await.whole().await });
        until("the engine has it", async || {
            server.inspect(|engine| engine.running() + engine.waiting().0) == before + 1
        })
        .await;
    }
    server.resume();
    asking.join_all().await;
    let records = proxy.records(3).await;
    let ended: Vec<_> = records.iter().rev().map(|r| r["request_id"].clone()).collect();
    assert_eq!(ended, ["high", "medium", "low"]);
}
