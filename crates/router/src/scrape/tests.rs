use std::cell::{Cell, RefCell};
use std::future::pending;
use std::net::SocketAddr;

use prometheus_client::registry::Registry;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::state::{Scheduling, Served};
use qoe_core::phase::{Role, RoleSource};
use qoe_discovery::{EndpointConfig, RouteConfig};
use qoe_runtime::readiness::Readiness;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};

use super::*;
use crate::observe::metrics::Metrics;
use crate::routes::source::RouteSource;
use crate::scrape::slots::{SLOTS, WITHIN};

const INTERVAL: Duration = Duration::from_secs(1);

/// A route without models, over endpoints of these names and addresses.
fn source(route: &str, endpoints: &[(&str, SocketAddr)]) -> Arc<RouteSource> {
    let endpoint = |(name, address): &(&str, SocketAddr)| EndpointConfig {
        name: (*name).to_owned(),
        address: *address,
        role: Role::Mixed,
        role_source: RoleSource::Unknown,
        connector: Connector::None,
        group: None,
        scheduling: Scheduling::Fcfs,
    };
    let endpoints = endpoints.iter().map(endpoint).collect();
    let config = RouteConfig { spec: qoe_api::QoERouteSpec::default(), created: 0, endpoints };
    Arc::new(RouteSource::of_push(route, config))
}

fn shared(sources: &[Arc<RouteSource>]) -> Arc<Shared> {
    let shared = Shared::new(Metrics::register(&mut Registry::default()), 0);
    shared.configure(sources);
    shared
}

/// One route over `count` endpoints that accept no connection.
fn many(count: u16) -> Vec<Arc<RouteSource>> {
    let names: Vec<_> = (0..count).map(|i| format!("e{i}")).collect();
    let address = |i: usize| SocketAddr::from(([10, 0, 0, 1], 1000 + i as u16));
    let endpoints: Vec<_> =
        names.iter().enumerate().map(|(i, name)| (name.as_str(), address(i))).collect();
    vec![source("r", &endpoints)]
}

/// Looks at the endpoints by `look` for `intervals`.
async fn look_for<F: Future<Output = Looked>>(
    shared: &Shared,
    intervals: u32,
    look: impl Fn(Target, Known) -> F,
) {
    let first = Readiness::new().awaiting("a first look");
    let following = follow(shared, INTERVAL, first, look);
    timeout(INTERVAL * intervals, following).await.expect_err("it never ends");
}

/// A look that ended well.
fn looked() -> Looked {
    Looked { ok: true, ..Looked::default() }
}

#[tokio::test(start_paused = true)]
async fn looks_are_spread_over_the_interval_and_one_interval_apart() {
    let shared = shared(&many(400));
    let looks: RefCell<HashMap<Arc<str>, Vec<Instant>>> = RefCell::default();
    let began = Instant::now();
    look_for(&shared, 5, |target, _| {
        let name = Arc::clone(&target.endpoint.name);
        looks.borrow_mut().entry(name).or_default().push(Instant::now());
        std::future::ready(looked())
    })
    .await;
    let looks = looks.into_inner();
    assert_eq!(looks.len(), 400);
    let mut by_slice = HashMap::<u128, u32>::new();
    for times in looks.values() {
        assert_eq!(times[0], began, "a new endpoint is looked at at once");
        assert!(times.len() >= 4, "{times:?}");
        let gaps = times[1..].windows(2).map(|two| two[1] - two[0]);
        assert!(gaps.into_iter().all(|gap| gap == INTERVAL), "{times:?}");
        let slice = (times[2] - began).as_millis() / (INTERVAL / SLICES).as_millis();
        *by_slice.entry(slice).or_default() += 1;
    }
    let (least, most) = (by_slice.values().min(), by_slice.values().max());
    assert_eq!(by_slice.len(), SLICES as usize, "{by_slice:?}");
    assert!(least >= Some(&5) && most <= Some(&40), "20 each: {by_slice:?}");
}

#[tokio::test(start_paused = true)]
async fn no_more_than_the_slots_are_looked_at_together_and_all_come_to_their_turn() {
    let shared = shared(&many(400));
    let (now, most, looks) = (Cell::new(0), Cell::new(0), Cell::new(0));
    let (now, most, looks) = (&now, &most, &looks);
    look_for(&shared, 1, |_, _| async move {
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        sleep(Duration::from_millis(10)).await;
        now.set(now.get() - 1);
        looks.set(looks.get() + 1);
        looked()
    })
    .await;
    assert_eq!(most.get(), SLOTS);
    assert!(looks.get() >= 400, "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_never_answer_delay_no_others_and_are_given_up() {
    let shared = shared(&many(40));
    let looks: RefCell<HashMap<Arc<str>, u32>> = RefCell::default();
    let silent = |name: &str| name.ends_with('7');
    look_for(&shared, 12, |target, _| {
        let name = Arc::clone(&target.endpoint.name);
        let never = silent(&name);
        *looks.borrow_mut().entry(name).or_default() += 1;
        async move { if never { pending().await } else { looked() } }
    })
    .await;
    for (name, looks) in looks.into_inner() {
        let expected = if silent(&name) { 2..=3 } else { 12..=13 };
        assert!(expected.contains(&looks), "{name}: {looks}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_list_of_models_that_changes_is_found_at_once() {
    let shared = shared(&many(40));
    look_for(&shared, 1, |target, _| {
        let id = format!("m-{}", target.endpoint.name);
        target.endpoint.set_served(vec![Served { id, parent: None, card: "{}".into() }]);
        std::future::ready(Looked { models_changed: true, ..looked() })
    })
    .await;
    let snapshot = shared.snapshot.load();
    assert!(snapshot.route(Some("m-e0")).is_ok() && snapshot.route(Some("m-e39")).is_ok());
    assert!(snapshot.route(Some("m-e40")).is_err());
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_an_endpoint_goes_with_it() {
    let shared = shared(&many(40));
    let mut turns = Turns::default();
    let due = turns.next(&shared);
    assert_eq!(due.len(), 40);
    shared.configure(&many(1));
    turns.next(&shared);
    for (target, _) in due {
        turns.ended(&shared, (target.identity(), Some(looked())));
    }
    assert_eq!((turns.known.len(), turns.under_way.len()), (1, 0));
}

/// A server whose pages have this body.
async fn serve(listener: TcpListener, body: String) {
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while stream.read_buf(&mut head).await.is_ok_and(|read| read > 0) {
            if head.ends_with(b"\r\n\r\n") {
                let head_of = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n", body.len());
                // The router may have hung up.
                drop(stream.write_all((head_of + &body).as_bytes()).await);
                head.clear();
            }
        }
    }
}

async fn listen() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

/// A pod may serve two routes on two ports.
#[tokio::test]
async fn endpoints_of_one_name_are_all_looked_at() {
    let (mut tasks, mut sources) = (JoinSet::new(), Vec::new());
    for model in ["m", "n"] {
        let (listener, address) = listen().await;
        sources.push(source(model, &[("llm/pod", address)]));
        tasks.spawn(serve(listener, format!(r#"{{"data":[{{"id":"{model}"}}]}}"#)));
    }
    let shared = shared(&sources);
    let readiness = Readiness::new();
    let first = readiness.awaiting("a first look");
    tasks.spawn(run(Arc::clone(&shared), Duration::from_secs(3600), first));
    let looked_at = async {
        while !readiness.ready() {
            tokio::task::yield_now().await;
        }
    };
    timeout(WITHIN * 4, looked_at).await.expect("a first look");
    let snapshot = shared.snapshot.load();
    for model in ["m", "n"] {
        assert_eq!(snapshot.route(Some(model)).map(|route| &*route.name).ok(), Some(model));
    }
}

#[tokio::test]
async fn a_page_without_end_is_not_read_to_its_end() {
    let (listener, address) = listen().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, "x".repeat(page::MAX_BYTES + 1)));
    let shared = shared(&[source("r", &[("e", address)])]);
    let endpoint = Arc::clone(&shared.snapshot.load().endpoints[0]);
    let Looked { ok, .. } =
        look(&shared, Target { endpoint, told_models: true }, Known::default()).await;
    assert!(!ok);
}
