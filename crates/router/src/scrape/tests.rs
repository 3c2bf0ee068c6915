use std::cell::{Cell, RefCell};
use std::future::pending;
use std::net::SocketAddr;
use std::pin::pin;

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
use crate::scrape::slots::SLOTS;

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
async fn look_for(
    shared: &Shared,
    intervals: u32,
    look: impl AsyncFn(ScrapeTarget, &mut Known) -> bool,
) {
    let first = Readiness::new().awaiting("a first look");
    let following = follow(shared, INTERVAL, first, look);
    timeout(INTERVAL * intervals, following).await.expect_err("it never ends");
}

fn served(id: &str) -> Served {
    Served { id: id.to_owned(), parent: None, card: "{}".into() }
}

#[tokio::test(start_paused = true)]
async fn looks_are_spread_over_the_interval_and_one_interval_apart() {
    let shared = shared(&many(400));
    let looks: RefCell<HashMap<Arc<str>, Vec<Instant>>> = RefCell::default();
    let began = Instant::now();
    look_for(&shared, 5, async |target, _| {
        let name = Arc::clone(&target.endpoint.name);
        looks.borrow_mut().entry(name).or_default().push(Instant::now());
        true
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
    look_for(&shared, 1, async |_, _| {
        now.set(now.get() + 1);
        most.set(most.get().max(now.get()));
        sleep(Duration::from_millis(10)).await;
        now.set(now.get() - 1);
        looks.set(looks.get() + 1);
        true
    })
    .await;
    assert_eq!(most.get(), SLOTS);
    assert!(looks.get() >= 400, "{looks:?}");
}

/// A second look at an endpoint begins before the first at all others has ended.
#[tokio::test(start_paused = true)]
async fn the_first_looks_are_over_once_each_endpoint_of_the_first_configuration_was_looked_at() {
    let shared = shared(&many(100));
    let readiness = Readiness::new();
    let first = readiness.awaiting("a first look");
    let mut following = pin!(follow(&shared, INTERVAL, first, async |_, _| {
        sleep(Duration::from_millis(100)).await;
        true
    }));
    timeout(INTERVAL, &mut following).await.expect_err("it never ends");
    assert!(readiness.ready());
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_never_answer_delay_no_others_and_are_given_up() {
    let shared = shared(&many(40));
    let looks: RefCell<HashMap<Arc<str>, u32>> = RefCell::default();
    let silent = |name: &str| name.ends_with('7');
    look_for(&shared, 12, async |target, _| {
        let name = Arc::clone(&target.endpoint.name);
        let never = silent(&name);
        *looks.borrow_mut().entry(name).or_default() += 1;
        if never { pending().await } else { true }
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
    look_for(&shared, 1, async |target, known| {
        target.endpoint.set_served(vec![served(&format!("m-{}", target.endpoint.name))]);
        known.models_changed = true;
        true
    })
    .await;
    let snapshot = shared.snapshot.load();
    assert!(snapshot.route(Some("m-e0")).is_ok() && snapshot.route(Some("m-e39")).is_ok());
    assert!(snapshot.route(Some("m-e40")).is_err());
}

/// The list came, the metrics never do.
#[tokio::test(start_paused = true)]
async fn models_are_routed_to_and_kept_though_the_look_is_given_up() {
    let shared = shared(&many(1));
    let looks = RefCell::new(Vec::new());
    look_for(&shared, 12, async |target, known| {
        looks.borrow_mut().push((Instant::now(), known.models_changed));
        if target.endpoint.served().is_none() {
            target.endpoint.set_served(vec![served("m")]);
            known.models_changed = true;
        }
        pending().await
    })
    .await;
    assert!(shared.snapshot.load().route(Some("m")).is_ok());
    let looks = looks.into_inner();
    assert!(looks.len() > 1 && looks.iter().all(|(_, changed)| !changed), "{looks:?}");
}

#[tokio::test(start_paused = true)]
async fn what_is_known_of_an_endpoint_goes_with_it() {
    let shared = shared(&many(40));
    let mut turns = Turns::default();
    let due = turns.next(&shared);
    assert_eq!(due.len(), 40);
    shared.configure(&many(1));
    turns.next(&shared);
    for (target, known) in due {
        turns.ended(&shared, ScrapeOutcome { identity: target.identity(), known, ok: true });
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
    let looked_at = async {
        while !readiness.ready() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = run(Arc::clone(&shared), Duration::from_secs(3600), first) => unreachable!("it never ends"),
        () = looked_at => {}
    }
    let snapshot = shared.snapshot.load();
    for model in ["m", "n"] {
        assert_eq!(snapshot.route(Some(model)).map(|route| &*route.name).ok(), Some(model));
    }
}

/// A server that lists the model `m`, and never answers with its metrics.
async fn list_models_only(listener: TcpListener) {
    let list = r#"{"data":[{"id":"m"}]}"#;
    let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{list}", list.len());
    let mut open = Vec::new();
    while let Ok((mut stream, _)) = listener.accept().await {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") && stream.read_buf(&mut head).await.is_ok_and(|n| n > 0)
        {
        }
        if head.starts_with(b"GET /v1/models") {
            drop(stream.write_all(answer.as_bytes()).await);
        }
        open.push(stream);
    }
}

#[tokio::test]
async fn what_a_look_learns_is_known_before_it_ends() {
    let (listener, address) = listen().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(list_models_only(listener));
    let shared = shared(&[source("r", &[("e", address)])]);
    let endpoint = Arc::clone(&shared.snapshot.load().endpoints[0]);
    let target = ScrapeTarget { endpoint: Arc::clone(&endpoint), told_models: false };
    let mut known = Known::default();
    let served = async {
        while endpoint.served().is_none() {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        _ = look(&shared, target, &mut known) => unreachable!("the metrics never come"),
        () = served => {}
    }
    assert!(known.models_changed);
}

#[tokio::test]
async fn a_page_without_end_is_not_read_to_its_end() {
    let (listener, address) = listen().await;
    let mut tasks = JoinSet::new();
    tasks.spawn(serve(listener, "x".repeat(page::MAX_BYTES + 1)));
    let shared = shared(&[source("r", &[("e", address)])]);
    let endpoint = Arc::clone(&shared.snapshot.load().endpoints[0]);
    let target = ScrapeTarget { endpoint, told_models: true };
    assert!(!look(&shared, target, &mut Known::default()).await);
}
