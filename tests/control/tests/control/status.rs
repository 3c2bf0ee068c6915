//! What a route says of itself.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use qoe_control_tests::audit::Call;
use qoe_control_tests::control::Running;
use qoe_control_tests::entry::router;
use qoe_control_tests::pods::{always, labels, pod, selecting};
use qoe_control_tests::space::Space;
use qoe_control_tests::wait::{comes_to, until};
use qoe_discovery::client::{Client, Subscriber};
use qoe_discovery::proto::RouteLoad;
use qoe_discovery::{Origin, Progress};
use qoe_sim::Role;
use qoe_tests::bodies::{CHAT, chat, streamed, with};
use qoe_tests::client::post;
use qoe_tests::proxy::simulator;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::routing::{serves, unreachable};

/// A route's four conditions come to be these: status and reason each.
async fn says(space: &Space, route: &str, wanted: [&str; 4]) {
    let kinds = ["Accepted", "ResolvedRefs", "Programmed", "Ready"];
    let wanted: Vec<_> =
        kinds.iter().zip(wanted).map(|(kind, said)| format!("{kind}={said}")).collect();
    comes_to("conditions", wanted, async || space.conditions(route).await).await;
}

/// The controller has looked at everything several times more.
async fn looks_again(control: &Running, space: &Space) {
    let audit = space.api.audit();
    let renewals = || {
        let renews = |call: &&Call| call.wrote() && call.resource == "coordination.k8s.io/leases";
        audit.of(&control.user.name).iter().filter(renews).count()
    };
    // It looks more often than it renews its lease.
    let before = renewals();
    until("the leader has renewed twice", async || renewals() >= before + 2).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_life_of_a_route() {
    let space = Space::new("life").await;
    let control = space.controller().start().await;
    let [first, second] = [router(control.address()), router(control.address())];
    let spec = with(selecting(), "models", json!(["tiny", "small"]));
    space.route("main", &spec).await;
    let programmed = "True Programmed";
    let nobody = "False NoPodsSelected";
    says(&space, "main", ["True Accepted", nobody, programmed, nobody]).await;
    let columns = async || space.columns("main").await;
    assert_eq!(columns().await, ["main", "tiny", "0/0", "0/0", "False"]);

    let mut prefill = unreachable("p0", 1);
    prefill.manifest["metadata"]["labels"]["llm-d.ai/role"] = json!("prefill");
    let mut decoding = unreachable("d0", 2);
    decoding.manifest["metadata"]["labels"]["llm-d.ai/role"] = json!("decode");
    for mut pod in [prefill, decoding] {
        pod.status["conditions"] = json!([]);
        space.pod(&pod).await;
    }
    says(&space, "main", ["True Accepted", "True Resolved", programmed, "False NoEndpoints"]).await;
    comes_to("columns", vec!["main", "tiny", "0/1", "0/1", "False"], columns).await;
    space.report_ready("p0", true).await;
    says(&space, "main", ["True Accepted", "True Resolved", programmed, "True DecodingPoolEmpty"])
        .await;
    space.report_ready("d0", true).await;
    says(&space, "main", ["True Accepted", "True Resolved", programmed, "True Ready"]).await;
    comes_to("columns", vec!["main", "tiny", "1/1", "1/1", "True"], columns).await;

    let slo = with(spec.clone(), "slo", json!({"ttftMilliseconds": 400}));
    assert_eq!(space.change_route("main", &slo).await["metadata"]["generation"], 2);
    let generations = async || {
        let status = space.get_route("main").await["status"].clone();
        let conditions = status["conditions"].as_array().cloned().unwrap_or_default();
        let mut seen: Vec<_> = conditions.iter().map(|c| c["observedGeneration"].clone()).collect();
        seen.push(status["observedGeneration"].clone());
        seen
    };
    comes_to("the new generation is seen", vec![json!(2); 5], generations).await;
    says(&space, "main", ["True Accepted", "True Resolved", programmed, "True Ready"]).await;
    for router in [&first, &second] {
        let ttft = async || {
            let route = router.route("main").await;
            route.map_or(Value::Null, |route| route["spec"]["slo"]["ttftMilliseconds"].clone())
        };
        comes_to("the router has it", json!(400), ttft).await;
    }

    let reasons = async || {
        let events = space.events("main").await;
        let told = |(kind, reason, count)| format!("{kind} {reason} {count}");
        events.into_iter().map(told).collect::<Vec<_>>()
    };
    let wanted = [
        "Warning NoPodsSelected 1",
        "Normal Resolved 1",
        "Warning NoEndpoints 1",
        "Normal DecodingPoolEmpty 1",
        "Normal Ready 1",
    ];
    comes_to("events", wanted.map(str::to_owned).to_vec(), reasons).await;
}

/// Both wait for the real clock: they run at once.
#[tokio::test(flavor = "multi_thread")]
async fn routers_that_are_not_there_are_missed() {
    tokio::join!(where_no_router_comes(), where_a_router_leaves());
}

async fn where_no_router_comes() {
    let space = Space::new("nobody").await;
    let control = space.controller().start().await;
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    // There is time to find a new controller; then something is wrong.
    let early = "False Pending";
    says(&space, "main", ["True Accepted", "True Resolved", early, early]).await;
    let late = "False NoRouters";
    says(&space, "main", ["True Accepted", "True Resolved", late, late]).await;
    let told = ("Warning".to_owned(), "NoRouters".to_owned(), 1);
    until("an event tells of it", async || space.events("main").await.contains(&told)).await;
    let _router = router(control.address());
    says(&space, "main", ["True Accepted", "True Resolved", "True Programmed", "True Ready"]).await;
}

async fn where_a_router_leaves() {
    let space = Space::new("leaves").await;
    let control = space.controller().start().await;
    let [_stays, leaves] = [router(control.address()), router(control.address())];
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    let routers = async || space.get_route("main").await["status"]["routers"].clone();
    comes_to("both routers", json!({"connected": 2, "programmed": 2}), routers).await;
    drop(leaves);
    // It could come back until then.
    comes_to("one router", json!({"connected": 1, "programmed": 1}), routers).await;
    says(&space, "main", ["True Accepted", "True Resolved", "True Programmed", "True Ready"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_the_leader_writes_and_only_what_has_changed() {
    let space = Space::new("quiet").await;
    let leader = space.controller().start().await;
    until("it leads", async || leader.leads().await).await;
    let other = space.controller().start().await;
    let (first, _second) = (router(leader.address()), router(other.address()));
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    says(&space, "main", ["True Accepted", "True Resolved", "True Programmed", "True Ready"]).await;
    serves(&first, "main", "a").await;
    let hinted =
        async || space.get_route("main").await["status"]["phases"]["prefill"]["reason"].clone();
    comes_to("what moves has settled", json!("Steady"), hinted).await;
    looks_again(&leader, &space).await;
    let audit = space.api.audit();
    let (written, seen) = (audit.status_writes(&leader.user.name), space.get_route("main").await);
    looks_again(&leader, &space).await;
    assert_eq!(audit.status_writes(&leader.user.name), written, "nothing has changed");
    assert_eq!(space.get_route("main").await, seen);
    // Pods that change nothing of it are no reason either; one that does is written once.
    let mut unrelated = unreachable("unrelated", 2);
    unrelated.manifest["metadata"]["labels"]["app"] = json!("other");
    space.pod(&unrelated).await;
    space.pod(&unreachable("b", 3)).await;
    comes_to("the new one counts", json!("2/2"), async || {
        space.get_route("main").await["status"]["decoding"].clone()
    })
    .await;
    looks_again(&leader, &space).await;
    let more = audit.status_writes(&leader.user.name) - written;
    assert!((1..=4).contains(&more), "a pod that comes is told in {more} writes");
    let wrote: Vec<_> =
        audit.of(&other.user.name).into_iter().filter(|call| call.wrote()).collect();
    assert!(wrote.is_empty(), "it does not lead: {wrote:?}");
    assert!(!other.leads().await && other.pages().ready().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_are_recommended_by_what_routers_see() {
    let space = Space::new("hints").await;
    let control = space.controller().start().await;
    let server = simulator(Role::Both).await;
    let mut spec = always();
    // Nobody answers that fast.
    spec["slo"] = json!({"ttftMilliseconds": 1});
    spec["autoscaling"] = json!({"prefill": {"maxReplicas": 1}});
    space.route("main", &spec).await;
    space.pod(&pod("a", &labels("both"), server.addr)).await;
    let phase = async |name: &str| {
        let phase = space.get_route("main").await["status"]["phases"][name].clone();
        [phase["desiredReplicas"].clone(), phase["reason"].clone()]
    };
    let hint = |desired: u32, reason: &str| [json!(desired), json!(reason)];
    comes_to("nobody has reported", hint(1, "NoData"), async || phase("prefill").await).await;
    let router = router(control.address());
    comes_to("all is well", hint(1, "Steady"), async || phase("prefill").await).await;
    comes_to("all is well", hint(1, "Steady"), async || phase("decoding").await).await;
    comes_to("it serves", "200", async || router.asked().await[..3].to_owned()).await;
    server.pause();
    let mut clients = JoinSet::new();
    for words in 40..48 {
        let address = router.address();
        clients.spawn(
            async move { post(address, CHAT, &streamed(chat(words, 5))).await.whole().await },
        );
    }
    let waiting = async || server.inspect(|engine| engine.running() + engine.waiting().0);
    comes_to("all requests are at the server", 8, waiting).await;
    server.resume();
    clients.join_all().await;
    comes_to("no more is wanted", hint(1, "AtMaximum"), async || phase("prefill").await).await;
    space.change_route("main", &json!({"autoscaling": {"prefill": {"maxReplicas": 8}}})).await;
    let desired = async || phase("prefill").await[0].clone();
    comes_to("one more is asked for", json!(2), desired).await;
    let gauge = ["phase=\"prefill\""];
    comes_to("the gauge says the same", 2.0, async || {
        control.pages().metric("qoe_controller_desired_replicas", &gauge).await
    })
    .await;
    // Nothing that moves fast is there.
    let status = space.get_route("main").await["status"].clone();
    let fields: Vec<_> = status["phases"]["prefill"].as_object().unwrap().keys().cloned().collect();
    assert_eq!(fields, ["desiredReplicas", "ready", "reason", "total"]);
    // A router that is gone makes the sum unknown, not smaller: the last hint stays.
    drop(router);
    comes_to("what is not known holds", hint(2, "NoData"), async || phase("prefill").await).await;
}

/// A router of another release, say, which cannot read what it is told.
struct Refusing;

impl Subscriber for Refusing {
    fn held(&self) -> Vec<String> {
        Vec::new()
    }

    fn pushed(&self, _: &str, _: Origin, _: Bytes) -> Result<(), String> {
        Err("the spec cannot be read".to_owned())
    }

    fn removed(&self, _: &str, _: Origin) -> Result<(), String> {
        Ok(())
    }

    fn synced(&self, _: SocketAddr, _: Progress) {}

    fn confirmed(&self, _: SocketAddr, _: Progress) -> Vec<String> {
        Vec::new()
    }

    fn disconnected(&self, _: SocketAddr) {}

    fn connected(&self, _: usize) {}

    fn load(&self) -> Vec<RouteLoad> {
        Vec::new()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_router_that_refuses_is_named() {
    let space = Space::new("refusing").await;
    let control = space.controller().start().await;
    let good = router(control.address());
    space.pod(&unreachable("a", 1)).await;
    space.route("main", &selecting()).await;
    says(&space, "main", ["True Accepted", "True Resolved", "True Programmed", "True Ready"]).await;
    let address = format!("http://{}", control.address());
    let client = Client::new(&address, None, "strange".to_owned(), "9.9").expect("an address");
    let refusing = tokio::spawn(client.run(Arc::new(Refusing)));
    let refused = "False RouterRefused";
    says(&space, "main", ["True Accepted", "True Resolved", refused, refused]).await;
    assert_eq!(
        space.message("main", "Programmed").await,
        "Router strange rejected the latest state and serves the previous one: the spec cannot be read"
    );
    let routers = space.get_route("main").await["status"]["routers"].clone();
    assert_eq!(routers, json!({"connected": 2, "programmed": 1}));
    serves(&good, "main", "a").await;
    refusing.abort();
}
