//! Which controller writes, when leaders resign, die, or are cut off.
//!
//! A lease is waited out by the real clock. The three tests that do so run at once, as one.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use qoe_control_tests::audit::Call;
use qoe_control_tests::control::Running;
use qoe_control_tests::entry::router;
use qoe_control_tests::logs;
use qoe_control_tests::pods::selecting;
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::{comes_to, until};
use qoe_control_tests::wire::Wire;
use qoe_runtime::telemetry::unix_time;
use serde_json::json;
use tokio::time::Instant;

use crate::routing::{serves, unreachable};

/// How long others wait for a silent leader, and how long a leader writes that could not renew.
const LEASE: SignedDuration = SignedDuration::from_secs(15);
const RENEW_WITHIN: SignedDuration = SignedDuration::from_secs(10);
const ON_ITS_WAY: SignedDuration = SignedDuration::from_millis(500);
/// A silent leader is noticed, and followed, at one look each; on a busy machine these are late.
const LATE: SignedDuration = SignedDuration::from_secs(15);

async fn holder(space: &Space) -> String {
    space.lease("default").await["holderIdentity"].as_str().unwrap_or_default().to_owned()
}

async fn holds(space: &Space, who: &Running) {
    comes_to("the lease is held", who.identity.clone(), async || holder(space).await).await;
}

/// What a controller asked for, without looks.
fn writes(space: &Space, of: &Running) -> Vec<Call> {
    let calls = space.api.audit().of(&of.user.name);
    calls
        .into_iter()
        .filter(|call| !matches!(call.verb.as_str(), "get" | "list" | "watch"))
        .collect()
}

/// When a leader that cannot renew its lease from now on must be silent. What it began just before arrives just after.
fn deadline() -> Timestamp {
    let now = i64::try_from(unix_time().as_micros()).expect("a time");
    Timestamp::from_microsecond(now).expect("a time") + RENEW_WITHIN + ON_ITS_WAY
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resigns_is_followed_at_once() {
    let space = Space::new("resigned").await;
    let first = space.controller().start().await;
    holds(&space, &first).await;
    let second = space.controller().start().await;
    space.route("main", &selecting()).await;
    until("the first one has written", async || {
        space.get_route("main").await["status"]["observedGeneration"] == 1
    })
    .await;
    until("the second one is ready too", async || second.pages().ready().await).await;
    assert!(!second.leads().await);
    let began = Instant::now();
    first.shut_down().await;
    holds(&space, &second).await;
    assert!(began.elapsed() < Duration::from_secs(10), "it did not wait for the lease to run out");
    let lease = space.lease("default").await;
    assert_eq!(
        (&lease["leaseTransitions"], &lease["leaseDurationSeconds"]),
        (&json!(1), &json!(15))
    );
    space.pod(&unreachable("a", 1)).await;
    comes_to("the second one writes", json!("1/1"), async || {
        space.get_route("main").await["status"]["decoding"].clone()
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_is_silent_is_followed_after_its_lease() {
    tokio::join!(
        who_is_dead(),
        who_is_cut_off(),
        who_hears_nothing(),
        whose_connections_are_dead()
    );
}

async fn who_is_dead() {
    let space = Space::new("dead").await;
    let first = space.controller().start().await;
    holds(&space, &first).await;
    let second = space.controller().start().await;
    let router = router(second.address());
    space.route("main", &selecting()).await;
    until("both know it", async || second.pages().ready().await && first.leads().await).await;
    drop(first);
    let mut last = String::new();
    until("the second one holds the lease", async || {
        let lease = space.lease("default").await;
        if lease["holderIdentity"] == second.identity.as_str() {
            return true;
        }
        last = lease["renewTime"].as_str().expect("a time").to_owned();
        false
    })
    .await;
    let lease = space.lease("default").await;
    let time = |text: &str| text.parse::<Timestamp>().expect("a time");
    let after = time(lease["acquireTime"].as_str().expect("a time")).duration_since(time(&last));
    assert!(after >= LEASE && after < LEASE + LATE, "followed after {after:?}");
    space.pod(&unreachable("a", 1)).await;
    serves(&router, "main", "a").await;
    comes_to("the second one writes", json!("1/1"), async || {
        space.get_route("main").await["status"]["decoding"].clone()
    })
    .await;
}

/// Nothing passes between the leader and the API server, in neither direction; then everything does again.
async fn who_is_cut_off() {
    let space = Space::new("cut-off").await;
    let wire = Wire::to(space.api.address()).await;
    let first = space.controller().via(wire.address).start().await;
    holds(&space, &first).await;
    let second = space.controller().start().await;
    let [to_first, to_second] = [router(first.address()), router(second.address())];
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    for router in [&to_first, &to_second] {
        serves(router, "main", "a").await;
    }
    until("the first one writes", async || first.leads().await).await;
    wire.hold();
    let deadline = deadline();
    // It is to write: one of its routers is gone, which it will see in the middle of this.
    drop(to_first);
    space.pod(&unreachable("b", 2)).await;
    serves(&to_second, "main", "a,b").await;
    comes_to("the first one knows that it leads no more", false, async || first.leads().await)
        .await;
    holds(&space, &second).await;
    comes_to("the second one writes", json!("2/2"), async || {
        space.get_route("main").await["status"]["decoding"].clone()
    })
    .await;
    wire.pass();
    // What was held arrives late, and changes nothing.
    space.pod(&unreachable("c", 3)).await;
    comes_to("the first one is back", json!(3), async || {
        first.pages().json("/config_dump").await["pods"].clone()
    })
    .await;
    comes_to("the second one goes on", json!("3/3"), async || {
        space.get_route("main").await["status"]["decoding"].clone()
    })
    .await;
    assert_eq!(space.lease("default").await["leaseTransitions"], 1);
    let late: Vec<_> = writes(&space, &first)
        .into_iter()
        .filter(|call| call.at > deadline && call.wrote())
        .collect();
    assert!(late.is_empty(), "written after {deadline}: {late:?}");
}

/// What the leader asks arrives, but it hears no answers: it must stop by its own clock.
async fn who_hears_nothing() {
    let space = Space::new("deaf").await;
    let wire = Wire::to(space.api.address()).await;
    let first = space.controller().via(wire.address).start().await;
    holds(&space, &first).await;
    let second = space.controller().start().await;
    let _routers = [router(second.address()), router(second.address())];
    space.route("main", &selecting()).await;
    comes_to("the first one writes", json!(0), async || {
        space.get_route("main").await["status"]["routers"]["connected"].clone()
    })
    .await;
    wire.hold_answers();
    let (held, deadline) = (writes(&space, &first).len(), deadline());
    // It has something to write from now on.
    let _router = router(first.address());
    until("it tries to write", async || writes(&space, &first).len() > held).await;
    holds(&space, &second).await;
    comes_to("the second one writes what it sees", json!(2), async || {
        space.get_route("main").await["status"]["routers"]["connected"].clone()
    })
    .await;
    assert!(!first.leads().await);
    let late: Vec<_> =
        writes(&space, &first).into_iter().filter(|call| call.at > deadline).collect();
    assert!(late.is_empty(), "asked for after {deadline}: {late:?}");
}

/// Nothing comes by the connections there are, and nothing says so; new ones would work.
async fn whose_connections_are_dead() {
    let space = Space::new("frozen").await;
    let wire = Wire::to(space.api.address()).await;
    let first = space.controller().via(wire.address).start().await;
    holds(&space, &first).await;
    let _second = space.controller().start().await;
    let router = router(first.address());
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    serves(&router, "main", "a").await;
    until("it leads", async || first.leads().await).await;
    wire.freeze();
    space.pod(&unreachable("b", 2)).await;
    serves(&router, "main", "a,b").await;
    assert_eq!(holder(&space).await, first.identity);
    let name = format!("\"{}\"", first.identity);
    let resigned = ["not the leader any more", &name];
    assert_eq!(logs::line(&resigned), None, "it has renewed in time");
}
