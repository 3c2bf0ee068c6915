//! What the controller asks of the API server is what the chart lets it ask, and no more.

use std::collections::BTreeSet;

use qoe_control_tests::control::Running;
use qoe_control_tests::entry::router;
use qoe_control_tests::logs;
use qoe_control_tests::pods::selecting;
use qoe_control_tests::rights::{grant, of_chart, revoke};
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::{comes_to, until};
use qoe_control_tests::wire::Wire;
use qoe_tests::bodies::with;
use serde_json::{Value, json};

use crate::routing::{serves, unreachable};

/// Everything that a controller has to do: it leads, tells a router, writes statuses, and says the same thing twice.
async fn live(space: &Space, control: &Running, spec: &Value) {
    let router = router(control.address());
    space.pod(&unreachable("a", 1)).await;
    space.route("main", spec).await;
    serves(&router, "main", "a").await;
    let said = async |wanted: (&str, u64)| {
        let events = space.events("main").await;
        events.iter().any(|(_, reason, count)| (reason.as_str(), *count) == wanted)
    };
    until("an event is made", async || said(("Ready", 1)).await).await;
    space.report_ready("a", false).await;
    until("another event is made", async || said(("NoEndpoints", 1)).await).await;
    space.report_ready("a", true).await;
    until("the first one is said again", async || said(("Ready", 2)).await).await;
    let status = async || space.get_route("main").await["status"]["prefill"].clone();
    comes_to("the status is written", json!("1/1"), status).await;
}

/// What was asked is what is granted, and nothing was denied.
fn assert_exact(space: &Space, control: &Running) {
    let audit = space.api.audit();
    let calls = audit.of(&control.user.name);
    let denied: Vec<_> = calls.iter().filter(|call| matches!(call.code, 401 | 403)).collect();
    assert!(denied.is_empty(), "{denied:?}");
    let granted: BTreeSet<_> = of_chart().kinds().into_iter().collect();
    assert_eq!(audit.kinds(&control.user.name), granted);
}

async fn renewed(space: &Space, class: &str) {
    let first = space.lease(class).await["renewTime"].clone();
    until("the lease is renewed", async || space.lease(class).await["renewTime"] != first).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_in_all_namespaces_are_what_is_used() {
    let space = Space::new("everywhere").await;
    let control = space.controller().everywhere("everywhere").start().await;
    live(&space, &control, &with(selecting(), "routerClassName", "everywhere")).await;
    renewed(&space, "everywhere").await;
    assert_exact(&space, &control);
}

#[tokio::test(flavor = "multi_thread")]
async fn rights_in_one_namespace_are_what_is_used() {
    let space = Space::new("somewhere").await;
    let control = space.controller().start().await;
    live(&space, &control, &selecting()).await;
    renewed(&space, "default").await;
    assert_exact(&space, &control);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_is_named_and_nothing_need_be_restarted_for_it() {
    for (resource, verb) in [("pods", "list"), ("qoeroutes", "list")] {
        let space = Space::new("missing").await;
        let control = space.controller().rights(of_chart().without(resource)).start().await;
        let user = &control.user.name;
        let denied = format!("User \"{user}\" cannot {verb} resource \"{resource}\"");
        let hint = "give the controller this permission (see its ClusterRole)";
        until("readiness says what is missing", async || {
            let page = control.pages().json("/ready").await;
            let pending =
                page["pending"].as_array().into_iter().flatten().filter_map(Value::as_str);
            pending.into_iter().any(|pending| pending.contains(&denied) && pending.contains(hint))
        })
        .await;
        let logged = denied.replace('"', "\\\"");
        assert!(
            logs::line(&["WARN", "a watch failed", &logged, hint]).is_some(),
            "the log says it"
        );
        let kind = format!("kind=\"{resource}\"");
        assert!(
            control.pages().metric("qoe_controller_watch_failures_total", &[&kind]).await >= 1.0
        );
        grant(&space.admin, &control.user, &of_chart().watching, Some(&space.namespace)).await;
        until("it is ready", async || control.pages().ready().await).await;
    }
}

/// As when one of the namespaces is deleted, and its Role and RoleBinding with it.
#[tokio::test(flavor = "multi_thread")]
async fn rights_that_are_lost_in_one_namespace_stop_no_other() {
    let (kept, lost) = (Space::new("kept").await, Space::new("lost").await);
    let link = Wire::to(kept.api.address()).await;
    // The namespace that is lost comes first: the API server is probed there.
    let control = lost.controller().and(&kept).via(link.address).start().await;
    let router = router(control.address());
    for (space, number) in [(&lost, 1), (&kept, 2)] {
        space.pod(&unreachable(&format!("pod-{number}"), number)).await;
        space.route(&format!("route-{number}"), &selecting()).await;
    }
    serves(&router, "route-1", "pod-1").await;
    serves(&router, "route-2", "pod-2").await;
    let watching = &of_chart().watching;
    revoke(&lost.admin, &control.user, watching, &lost.namespace).await;
    // A watch that is open would go on to the end of its window.
    link.cut();
    // With waits of 3 s, of which up to half is taken off, these take 12 s at least: longer than an outage needs.
    let failures =
        async || control.pages().metric("qoe_controller_watch_failures_total", &["pods"]).await;
    until("a watch was denied for long", async || failures().await >= 14.0).await;
    assert!(control.pages().ready().await);
    assert_eq!(control.pages().metric("qoe_controller_cluster_readable", &[]).await, 1.0);
    kept.pod(&unreachable("pod-3", 3)).await;
    serves(&router, "route-2", "pod-2,pod-3").await;
    assert_eq!(router.pods("route-1").await.as_deref(), Some("pod-1"), "as it was last read");
    grant(&lost.admin, &control.user, watching, Some(&lost.namespace)).await;
    lost.pod(&unreachable("pod-4", 4)).await;
    serves(&router, "route-1", "pod-1,pod-4").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_right_to_write_is_logged_and_requests_are_served_all_the_same() {
    for (resource, logged) in [
        ("qoeroutes/status", "cannot write a status"),
        ("events", "cannot write an event"),
        ("leases", "cannot hold the lease"),
    ] {
        let space = Space::new("mute").await;
        let control = space.controller().rights(of_chart().without(resource)).start().await;
        let router = router(control.address());
        space.pod(&unreachable("a", 1)).await;
        space.route("main", &selecting()).await;
        serves(&router, "main", "a").await;
        let denied = format!("User \\\"{}\\\" cannot", control.user.name);
        until("the log names it", async || {
            logs::line(&["WARN", logged, &denied, resource]).is_some()
        })
        .await;
        assert!(control.pages().ready().await);
    }
}
