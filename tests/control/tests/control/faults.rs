//! The API server, a controller, or the wire to them is gone for a while. Requests are served all the time.

use std::time::Duration;

use qoe_control_tests::api_server::ApiServer;
use qoe_control_tests::entry::{Entry, Setup, router};
use qoe_control_tests::logs;
use qoe_control_tests::pods::{always, selecting};
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::{comes_to, until};
use qoe_control_tests::wire::Wire;
use qoe_tests::bodies::with;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::Instant;

use crate::routing::{pair, serves, unreachable};

/// When the API server is back, its watches are within 3 s, and routers, where it was gone for more than 10 s, within
/// another 5 s; on a busy machine a little later.
const AT_LAST: Duration = Duration::from_secs(15);

async fn is_served(router: &Entry) {
    comes_to("requests are handed over", "200 handoff".to_owned(), async || router.asked().await)
        .await;
}

/// Watches go to etcd itself here, so that a history which was compacted is really gone.
#[tokio::test(flavor = "multi_thread")]
async fn the_api_server_forgets_its_history_is_killed_and_comes_back() {
    let api = ApiServer::start(&["--watch-cache=false"]).await;
    let space = Space::on(api, "killed").await;
    let wire = Wire::to(space.api.address()).await;
    let control = space.controller().via(wire.address).start().await;
    let router = router(control.address());
    let _servers = pair(&space).await;
    for (name, number) in [("x", 1), ("y", 2)] {
        let mut pod = unreachable(name, number);
        pod.manifest["metadata"]["labels"]["app"] = json!("other");
        space.pod(&pod).await;
    }
    space.route("main", &always()).await;
    let mut other = with(selecting(), "models", json!(["other"]));
    other["endpoints"]["selector"]["matchLabels"] = json!({"app": "other"});
    space.route("other", &other).await;
    space.route("third", &with(other.clone(), "models", json!(["third"]))).await;
    serves(&router, "other", "x,y").await;
    is_served(&router).await;

    // While the controller is cut off all changes, and then the changes are forgotten.
    wire.refuse();
    space.remove("x").await;
    let mut new = unreachable("z", 3);
    new.manifest["metadata"]["labels"]["app"] = json!("other");
    space.pod(&new).await;
    space.report_ready("y", false).await;
    space.delete_route("third").await;
    space.change_route("other", &json!({"models": ["changed"]})).await;
    space.api.compact().await;
    assert_eq!(router.pods("other").await.as_deref(), Some("x,y"), "it has what it had");
    assert_eq!(router.asked().await, "200 handoff");
    wire.pass();
    let passed = Instant::now();
    serves(&router, "other", "z").await;
    comes_to("the route changes", json!(["changed"]), async || {
        router.route("other").await.map_or(Value::Null, |route| route["spec"]["models"].clone())
    })
    .await;
    comes_to("the third is gone", None, async || router.pods("third").await).await;
    assert!(passed.elapsed() < AT_LAST, "it took {:?}", passed.elapsed());
    let gone = ["WARN", "everything is listed anew", &space.namespace];
    assert!(logs::count(&gone) >= 2, "both watches were told that their history is gone");

    // The whole server goes and comes.
    space.api.kill();
    for _ in 0..5 {
        assert_eq!(router.asked().await, "200 handoff");
    }
    assert!(control.pages().ready().await, "a restart of the API server is over within 10 s");
    let failures = || logs::count(&["WARN", "a watch failed", &space.namespace]);
    let before = failures();
    until("the controller has noticed", async || failures() > before).await;
    assert_eq!(router.asked().await, "200 handoff");
    space.api.start_again().await;
    let started = Instant::now();
    space.report_ready("y", true).await;
    serves(&router, "other", "y,z").await;
    assert!(started.elapsed() < AT_LAST, "it took {:?}", started.elapsed());
    is_served(&router).await;
}

/// A controller is behind; what it says is not taken back from what a better one has said.
#[tokio::test(flavor = "multi_thread")]
async fn an_older_world_is_refused() {
    let space = Space::new("older").await;
    let slow = Wire::to(space.api.address()).await;
    let behind = space.controller().via(slow.address).start().await;
    let ahead = space.controller().start().await;
    space.pod(&unreachable("a", 1)).await;
    space.pod(&unreachable("b", 2)).await;
    space.route("main", &selecting()).await;
    let knows = async |control: &qoe_control_tests::control::Running| {
        let page = control.pages().json("/config_dump").await;
        page["routes"][0]["endpoints"].as_array().map_or(0, Vec::len)
    };
    comes_to("it knows both", 2, async || knows(&behind).await).await;
    slow.hold();
    let wire = Wire::to(ahead.address()).await;
    let router = router(wire.address);
    serves(&router, "main", "a,b").await;
    space.remove("a").await;
    space.pod(&unreachable("c", 3)).await;
    space.route("young", &with(selecting(), "models", json!(["young"]))).await;
    serves(&router, "main", "b,c").await;
    serves(&router, "young", "b,c").await;
    wire.lead_to(behind.address());
    let refused =
        async || router.pages().metric("qoe_config_reloads_total", &["outcome=\"older\""]).await;
    until("what is older is refused", async || refused().await >= 2.0).await;
    assert_eq!(router.pods("main").await.as_deref(), Some("b,c"));
    assert_eq!(router.pods("young").await.as_deref(), Some("b,c"), "nor is it taken away");
    slow.pass();
    space.pod(&unreachable("d", 4)).await;
    serves(&router, "main", "b,c,d").await;
    serves(&router, "young", "b,c,d").await;
}

/// The one that is left knows everything, though it has not listed for long, and another had.
#[tokio::test(flavor = "multi_thread")]
async fn who_has_been_there_for_long_is_believed() {
    let space = Space::new("long").await;
    let old = space.controller().start().await;
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    let first = router(old.address());
    serves(&first, "main", "a").await;
    // Nothing of the route is written any more.
    comes_to("its status has settled", json!("Steady"), async || {
        space.get_route("main").await["status"]["phases"]["prefill"]["reason"].clone()
    })
    .await;
    // The cluster goes on; nothing of it concerns us.
    for i in 0..20 {
        let map = json!({"metadata": {"name": format!("map-{i}")}});
        space.admin.create(&space.path("v1", "configmaps"), &map).await.unwrap();
    }
    let to_new = Wire::to(space.api.address()).await;
    let new = space.controller().via(to_new.address).start().await;
    let wire = Wire::to(new.address()).await;
    let router = router(wire.address);
    serves(&router, "main", "a").await;
    // The new one is cut off, and is then gone.
    to_new.refuse();
    space.pod(&unreachable("b", 2)).await;
    serves(&first, "main", "a,b").await;
    assert_eq!(router.pods("main").await.as_deref(), Some("a"));
    wire.lead_to(old.address());
    drop(new);
    serves(&router, "main", "a,b").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn routers_need_no_controller_and_none_to_start_again() {
    let space = Space::new("alone").await;
    let control = space.controller().start().await;
    let wire = Wire::to(control.address()).await;
    let folder = TempDir::new().unwrap();
    let setup = || Setup::default().state(folder.path());
    let router = setup().start(wire.address);
    let _servers = pair(&space).await;
    space.route("main", &always()).await;
    is_served(&router).await;
    let saved = || std::fs::read(folder.path().join("routes.bin")).unwrap_or_default();
    let pod = format!("{}/d0", space.namespace);
    let has = |bytes: &[u8]| bytes.windows(pod.len()).any(|window| window == pod.as_bytes());
    until("it is on disk", async || has(&saved())).await;

    wire.refuse();
    drop(control);
    assert_eq!(router.asked().await, "200 handoff");
    let connected = async || router.pages().metric("qoe_controllers", &[]).await;
    comes_to("nobody is connected", 0.0, connected).await;
    assert!(router.pages().ready().await);
    assert_eq!(router.asked().await, "200 handoff");
    router.shut_down().await;

    let router = setup().start(wire.address);
    is_served(&router).await;
    let pages = router.pages();
    assert!(pages.ready().await);
    let age = async || pages.metric("qoe_snapshot_age_seconds", &[]).await;
    let now = age().await;
    until("its state ages", async || age().await > now).await;
    // One that has nothing is not ready.
    let empty = Setup::default().start(wire.address);
    let (status, page) = empty.pages().text("/ready").await;
    assert!(status != 200 && page.contains("routes from a controller"), "{page}");

    let control = space.controller().start().await;
    wire.pass();
    wire.lead_to(control.address());
    space.remove("p0").await;
    for router in [&router, &empty] {
        serves(router, "main", "d0").await;
    }
}
