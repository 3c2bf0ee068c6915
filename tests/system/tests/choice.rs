//! Whom a request goes to.

use qoe_sim::{Role, Server};
use qoe_tests::backend::{Backend, Script};
use qoe_tests::bodies::{CHAT, chat, streamed, with};
use qoe_tests::client::{ask, explained, post, send, try_send, with_header};
use qoe_tests::proxy::{Proxy, always, endpoint, file, route, simulator};
use qoe_tests::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinSet;

fn policy(kind: &str) -> Value {
    with(always(), "policy", json!({"type": kind}))
}

async fn two() -> ([Server; 2], Vec<Value>) {
    let servers = [simulator(Role::Both).await, simulator(Role::Both).await];
    let endpoints =
        vec![endpoint("e0", servers[0].addr, "both"), endpoint("e1", servers[1].addr, "both")];
    (servers, endpoints)
}

/// The endpoints that served `count` requests, in their order.
async fn served(proxy: &Proxy, count: usize) -> Vec<String> {
    let mut names = Vec::new();
    for i in 0..count {
        let answer = post(proxy.address(), CHAT, &chat(5 + i, 2)).await;
        assert_eq!(answer.status, 200);
        names.push(answer.header("x-qoe-decoding").to_owned());
    }
    names
}

#[tokio::test]
async fn turns_are_taken() {
    let (_servers, endpoints) = two().await;
    let proxy = Proxy::start(&policy("RoundRobin"), &endpoints);
    let names = served(&proxy, 6).await;
    assert!(names.windows(2).all(|pair| pair[0] != pair[1]), "{names:?}");
}

#[tokio::test]
async fn the_busy_one_is_left_alone() {
    for kind in ["LeastRequest", "PowerOfTwo"] {
        let (_servers, endpoints) = two().await;
        let proxy = Proxy::start(&policy(kind), &endpoints);
        let body = streamed(chat(10, 100_000));
        let mut busy = post(proxy.address(), CHAT, &body).await;
        busy.piece().await.unwrap().unwrap();
        let other = if busy.header("x-qoe-decoding") == "e0" { "e1" } else { "e0" };
        assert_eq!(served(&proxy, 6).await, [other; 6], "{kind}");
    }
}

#[tokio::test]
async fn a_queue_that_others_made_is_seen() {
    let (servers, endpoints) = two().await;
    let text = file(&[route("main", &policy("Weighted"))], &endpoints);
    let proxy = Proxy::with(&text, 50);
    servers[0].pause();
    // Not through this router: only the endpoint's own metrics tell of them.
    let mut others = JoinSet::new();
    for i in 0..40 {
        let asking = try_send(servers[0].addr, explained(CHAT, &chat(10 + i, 5)));
        others.spawn(async move { drop(asking.await) });
    }
    until("the queue is known", async || {
        let page = proxy.admin("/debug/endpoints").await;
        page["endpoints"][0]["signals"]["waiting"]["value"].as_f64() >= Some(40.0)
    })
    .await;
    assert_eq!(served(&proxy, 4).await, ["e1"; 4]);
}

#[tokio::test]
async fn an_endpoint_that_hangs_holds_no_look_at_others_up() {
    let server = simulator(Role::Both).await;
    // It takes connections, and never reads them.
    let hangs = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoints = [
        endpoint("good", server.addr, "both"),
        endpoint("hangs", hangs.local_addr().unwrap(), "both"),
    ];
    let proxy = Proxy::with(&file(&[route("main", &always())], &endpoints), 50);
    let began = tokio::time::Instant::now();
    until("many looks", async || {
        proxy.metric("qoe_scrapes_total", &["outcome=\"success\""]).await >= 10.0
    })
    .await;
    assert!(began.elapsed().as_secs() < 4, "{:?} for ten looks", began.elapsed());
}

#[tokio::test]
async fn pairs_are_of_one_revision() {
    let mut servers = Vec::new();
    let mut endpoints = Vec::new();
    for (name, role, revision) in [
        ("p1", Role::Prefill, "1"),
        ("p2", Role::Prefill, "2"),
        ("d1", Role::Decoding, "1"),
        ("d2", Role::Decoding, "2"),
    ] {
        let server = simulator(role).await;
        let role = if role == Role::Prefill { "prefill" } else { "decode" };
        let labels = json!({
            "disaggregatedset.x-k8s.io/role": role,
            "disaggregatedset.x-k8s.io/revision": revision,
        });
        endpoints.push(with(endpoint(name, server.addr, role), "labels", labels));
        servers.push(server);
    }
    let proxy = Proxy::start(&always(), &endpoints);
    for i in 0..8 {
        let answer = post(proxy.address(), CHAT, &chat(40 + i, 2)).await;
        let pair = (answer.header("x-qoe-prefill"), answer.header("x-qoe-decoding"));
        assert!(matches!(pair, ("p1", "d1") | ("p2", "d2")), "{pair:?}");
    }
}

#[tokio::test]
async fn roles_are_told_by_tags_and_names_and_the_users_own_rule() {
    let (p, d) = (simulator(Role::Prefill).await, simulator(Role::Decoding).await);
    let bare = |name: &str, server: &Server, more: Value| {
        let mut endpoint = json!({"name": name, "url": server.url(), "models": ["tiny"]});
        endpoint.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        endpoint
    };
    let rule = json!({"phase": {
        "labels": ["example.com/job"], "prefillTags": ["reader"], "decodingTags": ["writer"],
    }});
    let own = with(always(), "endpoints", rule);
    for (spec, one, two) in [
        (
            always(),
            bare("a", &p, json!({"tags": ["prefill"]})),
            bare("b", &d, json!({"tags": ["decoding"]})),
        ),
        (always(), bare("my-prefill-0", &p, json!({})), bare("my-decode-0", &d, json!({}))),
        (
            own,
            bare("a", &p, json!({"labels": {"example.com/job": "reader", "role": "decode"}})),
            bare("b", &d, json!({"labels": {"example.com/job": "writer"}})),
        ),
    ] {
        let proxy = Proxy::start(&spec, &[one, two]);
        let answer = post(proxy.address(), CHAT, &chat(40, 2)).await;
        assert_eq!(answer.header("x-qoe-plan"), "handoff", "{spec}");
    }
}

#[tokio::test]
async fn header_names_are_the_routes() {
    let server = simulator(Role::Both).await;
    let spec = with(always(), "headers", json!({"priority": "x-urgency"}));
    let proxy = Proxy::start(&spec, &[endpoint("e", server.addr, "both")]);
    let request = ask(http::Method::POST, CHAT, chat(4, 2).to_string());
    let request = with_header(request, "x-urgency", "1");
    send(proxy.address(), with_header(request, "x-request-priority", "3")).await.whole().await;
    assert_eq!(proxy.record().await["priority"], "high");
}

#[tokio::test]
async fn an_endpoint_that_hangs_is_left_out_after_three() {
    let (hangs, good) = (Backend::start(Script::Silence).await, simulator(Role::Both).await);
    let endpoints = [endpoint("hangs", hangs.addr, "both"), endpoint("good", good.addr, "both")];
    let spec = with(always(), "timeouts", json!({"firstTokenSeconds": 1}));
    let proxy = Proxy::start(&spec, &endpoints);
    let mut clients = JoinSet::new();
    for i in 0..12 {
        let asking = try_send(proxy.address(), explained(CHAT, &streamed(chat(5 + i, 2))));
        clients.spawn(async move { asking.await.unwrap().status });
    }
    while let Some(status) = clients.join_next().await {
        assert_eq!(status.unwrap(), 200, "another serves it");
    }
    let page = proxy.admin("/debug/endpoints").await;
    assert_eq!(page["endpoints"][0]["ejected"], true);
    assert_eq!(served(&proxy, 4).await, ["good"; 4]);
}
