//! A controller that is cut off from the API server, beside one that is not: it serves nobody, and nobody goes by what
//! it last saw.

use std::time::Duration;

use qoe_control_tests::control::Running;
use qoe_control_tests::entry::{Entry, router};
use qoe_control_tests::logs;
use qoe_control_tests::pods::selecting;
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::{comes_to, until};
use qoe_control_tests::wire::Wire;
use qoe_tests::bodies::with;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::routing::{serves, unreachable};

/// 10 s without an answer, and on a busy machine a little more.
const NOTICED_WITHIN: Duration = Duration::from_secs(15);

fn of_model(model: &str) -> Value {
    with(selecting(), "models", json!([model]))
}

/// The first model of a route that a router serves.
async fn model(router: &Entry, route: &str) -> Option<Value> {
    router.route(route).await.map(|route| route["spec"]["models"][0].clone())
}

async fn connected(router: &Entry) -> f64 {
    router.pages().metric("qoe_controllers", &[]).await
}

/// Two controllers that see the routes `changed` and `deleted` over the pod `a`; the link of one to the API server.
async fn two(space: &Space) -> (Running, Running, Wire) {
    let link = Wire::to(space.api.address()).await;
    let cut = space.controller().via(link.address).start().await;
    let sees = space.controller().start().await;
    space.pod(&unreachable("a", 1)).await;
    for route in ["changed", "deleted"] {
        space.route(route, &of_model(route)).await;
    }
    for controller in [&cut, &sees] {
        comes_to("it sees both routes", 2, async || {
            let page = controller.pages().json("/config_dump").await;
            page["routes"].as_array().map_or(0, Vec::len)
        })
        .await;
    }
    (cut, sees, link)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_controller_that_is_cut_off_is_not_ready_and_serves_nobody() {
    let space = Space::new("blind").await;
    let (cut, sees, link) = two(&space).await;
    let wire = Wire::to(cut.address()).await;
    let held = router(wire.address);
    for route in ["changed", "deleted"] {
        serves(&held, route, "a").await;
    }

    link.hold();
    let began = Instant::now();
    space.change_route("changed", &json!({"models": ["anew"]})).await;
    space.delete_route("deleted").await;
    space.route("created", &of_model("created")).await;
    until("it is not ready", async || !cut.pages().ready().await).await;
    assert!(began.elapsed() < NOTICED_WITHIN, "after {:?}", began.elapsed());
    let (_, page) = cut.pages().text("/ready").await;
    assert!(page.contains("the cluster to be readable: "), "{page}");
    comes_to("its stream has ended", 0.0, async || connected(&held).await).await;
    assert_eq!(cut.pages().metric("qoe_controller_cluster_readable", &[]).await, 0.0);

    // Who holds a state serves by it on; who holds none takes none.
    assert!(held.pages().ready().await);
    assert_eq!(held.pods("deleted").await.as_deref(), Some("a"));
    let age = async || held.pages().metric("qoe_snapshot_age_seconds", &[]).await;
    let before = age().await;
    until("its state ages", async || age().await > before).await;
    let own_wire = Wire::to(cut.address()).await;
    let new = router(own_wire.address);
    let address = format!("\"{}\"", own_wire.address);
    let refusal = ["the stream to a controller failed", "cannot read the cluster", &address];
    until("the new router is refused", async || logs::count(&refusal) > 2).await;
    assert!(!new.pages().ready().await);
    assert_eq!(new.routes().await, Vec::<String>::new());

    // The other one tells both what is so.
    for wire in [&wire, &own_wire] {
        wire.lead_to(sees.address());
    }
    for router in [&held, &new] {
        serves(router, "created", "a").await;
        let anew = Some(json!("anew"));
        comes_to("the changed route", anew, async || model(router, "changed").await).await;
        comes_to("no deleted route", None, async || router.pods("deleted").await).await;
    }
    comes_to("the route's routers", json!({"connected": 2, "programmed": 2}), async || {
        space.get_route("created").await["status"]["routers"].clone()
    })
    .await;

    link.pass();
    until("it is ready again", async || cut.pages().ready().await).await;
    for wire in [&wire, &own_wire] {
        wire.lead_to(cut.address());
    }
    space.pod(&unreachable("b", 2)).await;
    for router in [&held, &new] {
        serves(router, "changed", "a,b").await;
        assert_eq!(router.pods("deleted").await, None);
    }
}

/// Nobody can say what is so: the last state stays in use, and no status claims anything new.
#[tokio::test(flavor = "multi_thread")]
async fn while_all_controllers_are_cut_off_routers_keep_what_they_have() {
    let space = Space::new("all-blind").await;
    let link = Wire::to(space.api.address()).await;
    let control = space.controller().via(link.address).start().await;
    let router = router(control.address());
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    serves(&router, "main", "a").await;
    until("its status is written", async || {
        space
            .conditions("main")
            .await
            .iter()
            .any(|condition| condition.starts_with("Programmed=True"))
    })
    .await;
    link.hold();
    space.delete_route("main").await;
    space.route("main", &of_model("other")).await;
    until("it is not ready", async || !control.pages().ready().await).await;
    comes_to("its stream has ended", 0.0, async || connected(&router).await).await;
    assert!(!control.leads().await);
    assert_eq!(router.pods("main").await.as_deref(), Some("a"));
    assert!(router.pages().ready().await);
    let conditions = space.conditions("main").await;
    assert_eq!(conditions, Vec::<String>::new(), "nobody knows of the new route");
    link.pass();
    let passed = Instant::now();
    let other = Some(json!("other"));
    comes_to("the new route", other, async || model(&router, "main").await).await;
    assert!(passed.elapsed() < NOTICED_WITHIN, "after {:?}", passed.elapsed());
}
