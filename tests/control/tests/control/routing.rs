//! From an applied route to a served request.

use qoe_control_tests::entry::{Entry, router};
use qoe_control_tests::logs;
use qoe_control_tests::pods::{Pod, always, labels, pod, selecting};
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::{comes_to, until};
use qoe_sim::{Role, Server};
use qoe_tests::bodies::with;
use qoe_tests::proxy::simulator;
use serde_json::json;

/// The pods behind a route of a router come to be these, with commas.
pub(crate) async fn serves(router: &Entry, route: &str, pods: &str) {
    let wanted = Some(pods.to_owned());
    comes_to("the pods behind the route", wanted, async || router.pods(route).await).await;
}

/// A prefill and a decoding simulator, with a pod before each.
pub(crate) async fn pair(space: &Space) -> [Server; 2] {
    let (prefill, decoding) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    space.pod(&pod("p0", &labels("prefill"), prefill.addr)).await;
    space.pod(&pod("d0", &labels("decode"), decoding.addr)).await;
    [prefill, decoding]
}

/// A pod that nobody needs to reach, at an address of its own.
pub(crate) fn unreachable(name: &str, number: u8) -> Pod {
    pod(name, &labels("both"), ([127, 1, 1, number], 8000).into())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_applied_is_served_and_handed_over() {
    let space = Space::new("served").await;
    let control = space.controller().start().await;
    let router = router(control.address());
    let servers = pair(&space).await;
    space.route("main", &always()).await;
    serves(&router, "main", "d0,p0").await;
    comes_to("a handoff", "200 handoff".to_owned(), async || router.asked().await).await;
    let answer = router.ask().await;
    let by = ["x-qoe-prefill", "x-qoe-decoding"].map(|name| answer.header(name).to_owned());
    assert_eq!(by, ["p0", "d0"].map(|pod| format!("{}/{pod}", space.namespace)));
    assert!(control.pages().ready().await && router.pages().ready().await);
    let endpoints = router.endpoints("main").await.unwrap();
    let authority = |server: &Server| json!(server.addr.to_string());
    assert_eq!(endpoints["p0"]["authority"], authority(&servers[0]));
    assert_eq!(endpoints["d0"]["authority"], authority(&servers[1]));
    // The other way round: pods after their route, and a route that changes.
    let spec = with(always(), "handoff", json!({"mode": "Never"}));
    space.change_route("main", &spec).await;
    comes_to("no handoff", "200 local".to_owned(), async || router.asked().await).await;
    space.delete_route("main").await;
    comes_to("no route", Vec::<String>::new(), async || router.routes().await).await;
    assert_eq!(router.ask().await.status, 404, "nobody has the model any more");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_is_served_by_the_installation_of_its_class() {
    let space = Space::new("classes").await;
    let (plain, other) =
        (space.controller().start().await, space.controller().class("other").start().await);
    let (plain, other) = ((router(plain.address()), plain), (router(other.address()), other));
    space.pod(&unreachable("a", 1)).await;
    space.route("first", &selecting()).await;
    space.route("second", &with(selecting(), "routerClassName", "other")).await;
    serves(&plain.0, "first", "a").await;
    serves(&other.0, "second", "a").await;
    assert_eq!((plain.0.routes().await.len(), other.0.routes().await.len()), (1, 1));
    // It moves.
    space.change_route("second", &json!({"routerClassName": "default"})).await;
    comes_to("it is taken", 2, async || plain.0.routes().await.len()).await;
    comes_to("it is left", 0, async || other.0.routes().await.len()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_namespaces_that_are_watched_are_served_and_pods_only_in_their_own() {
    let (one, two, three) =
        (Space::new("one").await, Space::new("two").await, Space::new("three").await);
    // All of its rights are by Roles in the first two: a request for more would be refused.
    let control = one.controller().and(&two).start().await;
    let router = router(control.address());
    for (space, number) in [(&one, 1), (&two, 2), (&three, 3)] {
        space.pod(&unreachable(&format!("pod-{number}"), number)).await;
        space.route(&format!("route-{number}"), &selecting()).await;
    }
    serves(&router, "route-1", "pod-1").await;
    serves(&router, "route-2", "pod-2").await;
    assert_eq!(router.routes().await.len(), 2, "the third is another's");
    let calls = one.api.audit().of(&control.user.name);
    assert!(calls.iter().all(|call| call.code != 403), "it asks for nothing else: {calls:?}");
    assert!(calls.iter().all(|call| !call.namespace.is_empty()), "{calls:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_that_cannot_be_read_stops_nobody_else() {
    let space = Space::new("odd").await;
    let control = space.controller().start().await;
    let router = router(control.address());
    space.pod(&unreachable("a", 1)).await;
    space.route("good", &selecting()).await;
    serves(&router, "good", "a").await;
    // As one would be that an older definition has let in.
    let odd = |name: &str, spec: serde_json::Value| {
        json!({
            "apiVersion": "qoe-router.io/v1alpha1",
            "kind": "QoERoute",
            "metadata": {
                "name": name, "namespace": space.namespace, "generation": 1,
                "uid": format!("00000000-0000-0000-0000-{:012}", name.len()),
                "creationTimestamp": "2026-01-01T00:00:00Z",
            },
            "spec": spec,
        })
    };
    let slo = |value| with(selecting(), "slo", json!({"ttftMilliseconds": value}));
    let no_shape = json!({"endpoints": ["a"], "slo": "fast", "models": [{"a": 1}]});
    for (name, spec) in [
        ("range", slo(json!(0))),
        ("type", slo(json!("1s"))),
        ("no-shape", no_shape),
        ("no-object", json!("text")),
    ] {
        space.api.smuggle("qoe-router.io/qoeroutes", &odd(name, spec)).await;
    }
    for (name, why) in [
        ("range", "spec.slo.ttftMilliseconds: 0 is out of range: use 1 to 600000."),
        (
            "type",
            "spec cannot be read: invalid type: string \"1s\", expected u32: is the CRD of this release?.",
        ),
    ] {
        comes_to("the route is told so", Some("Accepted=False Invalid".to_owned()), async || {
            space.conditions(name).await.into_iter().next()
        })
        .await;
        let wanted = format!("{why} The last good spec, if there was one, stays in use.");
        assert_eq!(space.message(name, "Accepted").await, wanted);
    }
    // Of some even the status cannot be written: the API server has no way to read them.
    for name in ["no-shape", "no-object"] {
        let told = async || {
            let events = space.events(name).await;
            events.iter().any(|(kind, reason, _)| kind == "Warning" && reason == "Invalid")
        };
        until("an event tells of it", told).await;
    }
    // Everything goes on.
    space.pod(&unreachable("b", 2)).await;
    serves(&router, "good", "a,b").await;
    space.route("late", &with(selecting(), "models", json!(["late"]))).await;
    serves(&router, "late", "a,b").await;
    assert!(control.pages().ready().await);
    // A route that was good keeps what it had.
    let mut good = space.get_route("good").await;
    good["spec"]["slo"]["ttftMilliseconds"] = json!(0);
    space.api.smuggle("qoe-router.io/qoeroutes", &good).await;
    comes_to("it is told so", "Accepted=False Invalid".to_owned(), async || {
        space.conditions("good").await.swap_remove(0)
    })
    .await;
    serves(&router, "good", "a,b").await;
    // What is refused is not asked for every second.
    let refused = format!("{}/no-object", space.namespace);
    assert!(logs::count(&["cannot write a status", &refused]) <= 2);
}

/// Before all kinds are listed nothing is served: a world without pods would take everybody's endpoints away.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_told_before_everything_is_known() {
    use qoe_control_tests::rights::{grant, of_chart};
    use qoe_control_tests::wire::Wire;

    let space = Space::new("whole").await;
    let control = space.controller().start().await;
    let wire = Wire::to(control.address()).await;
    let router = router(wire.address);
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    serves(&router, "main", "a").await;
    let half = space.controller().rights(of_chart().without("pods")).start().await;
    wire.lead_to(half.address());
    let missing = "pods of ".to_owned() + &space.namespace;
    until("it says what is missing", async || {
        let (status, page) = half.pages().text("/ready").await;
        status != 200 && page.contains(&missing)
    })
    .await;
    let address = format!("\"{}\"", wire.address);
    until("the router is refused", async || logs::count(&["has not read it yet", &address]) > 0)
        .await;
    assert_eq!(half.pages().json("/debug/routers").await["routers"], json!([]));
    assert_eq!(half.pages().metric("qoe_controller_cluster_readable", &[]).await, 0.0);
    assert_eq!(router.pods("main").await.as_deref(), Some("a"), "it has what it had");
    let rules = of_chart().watching;
    grant(&space.admin, &half.user, &rules, Some(&space.namespace)).await;
    until("it is ready, without a restart", async || half.pages().ready().await).await;
    space.pod(&unreachable("b", 2)).await;
    serves(&router, "main", "a,b").await;
}
