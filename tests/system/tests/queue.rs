//! Requests that wait for room: who goes first, who is refused, and that nobody is lost.

use qoe_sim::{Config, Profile, Role, Server};
use qoe_tests::bodies::{CHAT, chat, streamed, with};
use qoe_tests::client::{Answer, Asked, explained, post, send, try_send, with_header};
use qoe_tests::proxy::{Proxy, endpoint, file, route, simulator};
use qoe_tests::wait::until;
use serde_json::{Value, json};
use tokio::task::JoinSet;

const LOW: &str = "3";
const MEDIUM: &str = "2";
const HIGH: &str = "1";

/// One request at a time, and all the time in the world for its first token.
fn narrow() -> Value {
    json!({
        "models": ["tiny"],
        "limits": {"maxInFlight": 1},
        "slo": {"ttftMilliseconds": 300_000},
    })
}

/// An endpoint and a router whose only place is taken by a stream without end.
struct Taken {
    _server: Server,
    proxy: Proxy,
    stream: Answer,
}

impl Taken {
    async fn by_a_stream(spec: &Value) -> Self {
        let server = simulator(Role::Both).await;
        let proxy = Proxy::start(spec, &[endpoint("e", server.addr, "both")]);
        let stream = post(proxy.address(), CHAT, &streamed(chat(10, 100_000))).await;
        Self { _server: server, proxy, stream }
    }
}

fn request(id: &str, priority: &str) -> Asked {
    let request = explained(CHAT, &chat(12, 5));
    with_header(with_header(request, "x-request-id", id), "x-request-priority", priority)
}

async fn waiting(proxy: &Proxy) -> f64 {
    proxy.metric("qoe_queued", &[]).await
}

async fn until_waiting(proxy: &Proxy, count: usize) {
    until("as many wait", async || waiting(proxy).await as usize == count).await;
}

/// Sends a request; when this returns, `count` requests are in the queue, this one included.
async fn queue(proxy: &Proxy, asking: &mut JoinSet<Answer>, request: Asked, count: usize) {
    let address = proxy.address();
    asking.spawn(async move { send(address, request).await });
    until_waiting(proxy, count).await;
}

/// The ids of ended requests, in the order of their ends.
async fn ended(proxy: &Proxy, count: usize) -> Vec<String> {
    let records = proxy.records(count).await;
    let id = |record: &Value| record["request_id"].as_str().unwrap_or_default().to_owned();
    records.iter().rev().map(id).collect()
}

#[tokio::test]
async fn the_most_urgent_goes_first_and_among_equals_the_earliest_deadline() {
    let Taken { proxy, stream, _server } = Taken::by_a_stream(&narrow()).await;
    let mut asking = JoinSet::new();
    let sooner = with_header(request("sooner", MEDIUM), "x-sla-target-ms", "100000");
    let requests = [request("low", LOW), request("later", MEDIUM), sooner, request("high", HIGH)];
    for (before, request) in requests.into_iter().enumerate() {
        queue(&proxy, &mut asking, request, before + 1).await;
    }
    assert_eq!(proxy.metric("qoe_queued", &["route=\"main\"", "priority=\"medium\""]).await, 2.0);
    drop(stream);
    let answers = asking.join_all().await;
    for answer in answers {
        assert_eq!(answer.status, 200);
        assert!(answer.header("x-qoe-queued-ms").parse::<f64>().unwrap() > 0.0);
    }
    assert_eq!(ended(&proxy, 5).await[1..], ["high", "sooner", "later", "low"]);
    assert_eq!(waiting(&proxy).await, 0.0);
    assert_eq!(proxy.metric("qoe_queue_seconds_count", &["priority=\"low\""]).await, 1.0);
    let record = proxy.record().await;
    assert!(record["queued"].as_f64() > Some(0.0) && record["ttft"].is_null(), "{record}");
    assert!(record["forecast_ttft"].as_f64() > Some(0.0), "{record}");
}

#[tokio::test]
async fn a_full_queue_refuses_the_least_urgent_and_says_when_to_come_back() {
    let spec = with(narrow(), "limits", json!({"maxInFlight": 1, "maxQueued": 2}));
    let Taken { proxy, stream, _server } = Taken::by_a_stream(&spec).await;
    let (mut low, mut rest) = (JoinSet::new(), JoinSet::new());
    queue(&proxy, &mut low, request("low", LOW), 1).await;
    queue(&proxy, &mut rest, request("medium", MEDIUM), 2).await;
    let address = proxy.address();
    rest.spawn(async move { send(address, request("high", HIGH)).await });
    let shed = low.join_next().await.unwrap().unwrap();
    let too_late = send(proxy.address(), request("late", LOW)).await;
    for refused in [shed, too_late] {
        assert_eq!(refused.status, 429);
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        assert_eq!(refused.header("x-qoe-route"), "main");
        let error = refused.json().await["error"].take();
        assert_eq!((&error["type"], &error["route"]), (&json!("RateLimitError"), &json!("main")));
        assert!(error["message"].as_str().unwrap().contains("limits.maxQueued"), "{error}");
    }
    let shed = ["priority=\"low\"", "reason=\"full\""];
    assert_eq!(proxy.metric("qoe_shed_total", &shed).await, 2.0);
    assert_eq!(proxy.metric("qoe_shed_total", &[]).await, 2.0);
    assert_eq!(proxy.metric("qoe_requests_total", &["outcome=\"rejected\""]).await, 2.0);
    drop(stream);
    assert!(rest.join_all().await.iter().all(|answer| answer.status == 200));
    let ended = ended(&proxy, 5).await;
    assert_eq!([&ended[0], &ended[1], &ended[3], &ended[4]], ["low", "late", "high", "medium"]);
}

#[tokio::test]
async fn who_leaves_while_it_waits_leaves_no_trace_and_holds_nobody_up() {
    let Taken { proxy, stream, _server } = Taken::by_a_stream(&narrow()).await;
    let address = proxy.address();
    let leaves =
        JoinSet::from_iter([async move { drop(try_send(address, request("gone", HIGH)).await) }]);
    until_waiting(&proxy, 1).await;
    let mut stays = JoinSet::new();
    queue(&proxy, &mut stays, request("stays", LOW), 2).await;
    drop(leaves);
    until_waiting(&proxy, 1).await;
    let record = proxy.record().await;
    assert_eq!(
        (&record["request_id"], &record["outcome"]),
        (&json!("gone"), &json!("client_gone"))
    );
    assert_eq!((&record["attempts"], &record["plan"]), (&json!(0), &Value::Null));
    drop(stream);
    assert_eq!(stays.join_next().await.unwrap().unwrap().status, 200);
    assert_eq!((waiting(&proxy).await, proxy.in_flight().await), (0.0, 0));
}

#[tokio::test]
async fn promises_that_cannot_be_kept_are_refused_where_the_route_says_so() {
    let slo = json!({"ttftMilliseconds": 300_000, "onUnattainable": "Reject"});
    let spec = with(narrow(), "slo", slo);
    let Taken { proxy, stream, _server } = Taken::by_a_stream(&spec).await;
    let mut asking = JoinSet::new();
    queue(&proxy, &mut asking, request("fine", LOW), 1).await;
    // Time passes, and nothing else happens; or there never was time enough.
    for target in ["60", "1"] {
        let hopeless = with_header(request("hopeless", HIGH), "x-sla-target-ms", target);
        let refused = send(proxy.address(), hopeless).await;
        assert_eq!(refused.status, 429);
        assert!(refused.header("retry-after").parse::<u64>().unwrap() >= 1);
        let error = refused.json().await["error"].take();
        assert!(error["message"].as_str().unwrap().contains("slo.onUnattainable"), "{error}");
    }
    let shed = ["priority=\"high\"", "reason=\"unattainable\""];
    assert_eq!(proxy.metric("qoe_shed_total", &shed).await, 2.0);
    drop(stream);
    assert_eq!(asking.join_next().await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn best_effort_serves_late_ones_after_those_that_can_be_in_time() {
    let Taken { proxy, stream, _server } = Taken::by_a_stream(&narrow()).await;
    let mut asking = JoinSet::new();
    let late = with_header(request("late", MEDIUM), "x-sla-target-ms", "1");
    queue(&proxy, &mut asking, late, 1).await;
    queue(&proxy, &mut asking, request("fine", MEDIUM), 2).await;
    drop(stream);
    assert!(asking.join_all().await.iter().all(|answer| answer.status == 200));
    assert_eq!(ended(&proxy, 3).await[1..], ["fine", "late"]);
}

/// By forecast alone: the line before the only endpoint is longer than the promise allows.
#[tokio::test]
async fn a_line_that_is_too_long_for_the_promise_is_waited_for_here() {
    let server = simulator(Role::Both).await;
    let spec = json!({"models": ["tiny"], "slo": {"ttftMilliseconds": 20}});
    let proxy = Proxy::start(&spec, &[endpoint("e", server.addr, "both")]);
    server.pause();
    let mut asking = JoinSet::new();
    let address = proxy.address();
    let long = explained(CHAT, &streamed(chat(8000, 3)));
    asking.spawn(async move { send(address, long).await });
    until("it is at the endpoint", async || proxy.in_flight().await == 1).await;
    queue(&proxy, &mut asking, explained(CHAT, &streamed(chat(100, 3))), 1).await;
    assert_eq!(proxy.in_flight().await, 1, "there is no room beside it");
    server.resume();
    let mut queued = Vec::new();
    for answer in asking.join_all().await {
        assert_eq!(answer.status, 200);
        assert!(answer.header("x-qoe-forecast-ttft-ms").parse::<f64>().unwrap() > 0.0);
        assert!(answer.header("x-qoe-forecast-itl-ms").parse::<f64>().unwrap() > 0.0);
        queued.push(answer.header("x-qoe-queued-ms").parse::<f64>().unwrap());
        answer.whole().await;
    }
    queued.sort_by(f64::total_cmp);
    assert!(queued[0] == 0.0 && queued[1] > 0.0, "{queued:?}");
    let page = proxy.admin("/debug/endpoints").await;
    let model = &page["endpoints"][0]["model"];
    assert!(model["prefill"]["millisecondsPer1000Tokens"].is_f64(), "{model}");
    let told = ["promptsWaitSeconds", "readingShare", "itlCorrection"];
    assert!(told.iter().all(|figure| model[figure].is_f64()), "{model}");
}

#[tokio::test]
async fn nobody_is_lost_when_the_endpoint_dies_that_all_wait_for() {
    let (dies, lives) = (simulator(Role::Both).await, simulator(Role::Both).await);
    let before = [endpoint("a", dies.addr, "both")];
    let proxy = Proxy::start(&narrow(), &before);
    let stream = post(proxy.address(), CHAT, &streamed(chat(10, 100_000))).await;
    let mut asking = JoinSet::new();
    for i in 0..10 {
        queue(&proxy, &mut asking, request(&format!("r{i}"), MEDIUM), i + 1).await;
    }
    // Another takes its place while they wait: what they began with is not what they are served by.
    let version = proxy.version().await;
    let after = [endpoint("b", lives.addr, "both")];
    proxy.rewrite(&file(&[route("main", &narrow())], &after));
    until("it is read", async || proxy.version().await > version).await;
    drop(dies);
    drop(stream);
    for answer in asking.join_all().await {
        assert_eq!((answer.status.as_u16(), answer.header("x-qoe-decoding")), (200, "b"));
    }
}

#[tokio::test]
async fn nobody_is_lost_when_one_of_the_endpoints_dies() {
    let (dies, lives) = (simulator(Role::Both).await, simulator(Role::Both).await);
    let endpoints = [endpoint("a", dies.addr, "both"), endpoint("b", lives.addr, "both")];
    let spec = with(narrow(), "limits", json!({"maxInFlight": 2}));
    // Each of the two then goes to one endpoint, and not from one to the other.
    let spec = with(spec, "handoff", json!({"mode": "Never"}));
    let proxy = Proxy::start(&spec, &endpoints);
    dies.pause();
    lives.pause();
    let mut asking = JoinSet::new();
    let address = proxy.address();
    for i in 0..2 {
        asking.spawn(async move { send(address, request(&format!("first{i}"), MEDIUM)).await });
    }
    until("both places are taken", async || proxy.in_flight().await == 2).await;
    for i in 0..20 {
        queue(&proxy, &mut asking, request(&format!("r{i}"), MEDIUM), i + 1).await;
    }
    drop(dies);
    lives.resume();
    for answer in asking.join_all().await {
        assert_eq!((answer.status.as_u16(), answer.header("x-qoe-decoding")), (200, "b"));
    }
}

#[tokio::test]
async fn hundreds_come_through_a_narrow_place() {
    let server = simulator(Role::Both).await;
    let spec = with(narrow(), "limits", json!({"maxInFlight": 3}));
    let proxy = Proxy::start(&spec, &[endpoint("e", server.addr, "both")]);
    let address = proxy.address();
    let priorities = [LOW, MEDIUM, HIGH];
    let asking = (0..300_usize)
        .map(|i| async move { send(address, request(&format!("r{i}"), priorities[i % 3])).await });
    let answers = JoinSet::from_iter(asking).join_all().await;
    assert!(answers.iter().all(|answer| answer.status == 200));
    assert_eq!((waiting(&proxy).await, proxy.in_flight().await), (0.0, 0));
}

#[tokio::test]
async fn without_a_word_plans_are_forecast_and_long_prompts_are_kept_from_running_streams() {
    // Where prompts cost nothing, nothing is to be spared.
    let [p, d] = [Role::Prefill, Role::Decoding].map(|role| {
        let profile = Profile::named("llama-8b-h100").expect("a profile");
        Server::start(Config { role, profile, ..Config::default() })
    });
    let (p, d) = (p.await.unwrap(), d.await.unwrap());
    let endpoints = [endpoint("p", p.addr, "prefill"), endpoint("d", d.addr, "decode")];
    // A long prompt beside them would break the promise to eight streams; to its own user there is time.
    let spec = json!({
        "models": ["tiny"],
        "policy": {"predictive": {"crossPhase": false}},
        "slo": {"ttftMilliseconds": 5000, "itlMilliseconds": 25},
    });
    let proxy = Proxy::start(&spec, &endpoints);
    let dump = proxy.admin("/config_dump").await;
    assert_eq!(dump["routes"][0]["inForce"]["policy"], "Predictive", "{dump}");
    assert_eq!(dump["routes"][0]["spec"]["limits"]["maxQueued"], 1024);
    assert_eq!(dump["routes"][0]["spec"]["slo"]["onUnattainable"], "BestEffort");
    let mut streams = Vec::new();
    for i in 0..8 {
        streams.push(post(proxy.address(), CHAT, &streamed(chat(10 + i, 100_000))).await);
    }
    let answer = post(proxy.address(), CHAT, &streamed(chat(6000, 5))).await;
    assert_eq!((answer.status.as_u16(), answer.header("x-qoe-plan")), (200, "handoff"));
    assert_eq!(answer.header("x-qoe-reason"), "streams_spared");
    assert!(answer.header("x-qoe-forecast-ttft-ms").parse::<f64>().unwrap() > 0.0);
    assert_eq!(answer.header("x-qoe-queued-ms"), "0.0");
    answer.whole().await;
    assert!(p.inspect(|engine| engine.stats().prompt_tokens) >= 6000);
}
