use std::time::Duration;

use prometheus_client::registry::Registry;
use qoe_runtime::readiness::Readiness;
use serde_json::{Value, json};
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::*;
use crate::index::tests::{manifest, raw};
use crate::pod::tests::ready;

const ALL: &str = "";

/// A publisher, fed by hand. The clock is paused: it stands at the next thing that is due.
struct Fed {
    seen: mpsc::Sender<ScopedEvent>,
    worlds: watch::Receiver<Option<Arc<World>>>,
    views: watch::Receiver<Arc<View>>,
    readiness: Readiness,
    publishing: JoinHandle<()>,
}

impl Fed {
    fn new(scopes: &[&str]) -> Self {
        let (world, worlds) = watch::channel(None);
        let (view, views) = watch::channel(Arc::default());
        let (seen, events) = mpsc::channel(64);
        let readiness = Readiness::new();
        let metrics = Arc::new(Metrics::register(&mut Registry::default()));
        let awaiting = readiness.awaiting("routes to be published");
        let scopes: Vec<Arc<str>> = scopes.iter().map(|scope| (*scope).into()).collect();
        let outlets = Outlets { world, view };
        let publisher =
            Publisher::new("default", &scopes, outlets, metrics, awaiting, Instant::now());
        let publishing = tokio::spawn(publisher.run(events));
        Self { seen, worlds, views, readiness, publishing }
    }

    async fn sees(&self, scope: &str, event: KindEvent) {
        assert!(self.seen.send(ScopedEvent { scope: scope.into(), event }).await.is_ok());
    }

    async fn pods(&self, scope: &str, read: u64, pods: &[Value]) {
        self.sees(scope, KindEvent::Pods(Event::Listed(pods.iter().map(pod_of).collect(), read)))
            .await;
    }

    async fn routes(&self, scope: &str, read: u64, routes: &[Value]) {
        let routes = routes.iter().cloned().map(raw).collect();
        self.sees(scope, KindEvent::Routes(Event::Listed(routes, read))).await;
    }

    async fn applied(&self, pod: &Value, read: u64) {
        self.sees(ALL, KindEvent::Pods(Event::Applied(pod_of(pod), read))).await;
    }

    /// The next world, and how long it took.
    async fn world(&mut self) -> (Arc<World>, Duration) {
        let began = Instant::now();
        timeout(Duration::from_secs(60), self.worlds.changed()).await.expect("a world").unwrap();
        (self.worlds.borrow_and_update().clone().expect("a world"), began.elapsed())
    }

    /// Nothing more is published, however long it takes.
    async fn publishes_nothing(&mut self) {
        assert!(timeout(Duration::from_secs(60), self.worlds.changed()).await.is_err());
    }
}

fn pod_of(pod: &Value) -> Pod {
    serde_json::from_value(pod.clone()).unwrap()
}

fn vllm(name: &str, ip: &str) -> Value {
    ready(name, ip, json!({"app": "vllm"}))
}

fn of(namespace: &str, mut object: Value) -> Value {
    object["metadata"]["namespace"] = json!(namespace);
    object
}

/// The endpoints of a route.
fn endpoints(world: &World, route: &str) -> Vec<String> {
    let body = world.routes[route].body.as_ref().expect("a state");
    let config = qoe_discovery::RouteConfig::decode(body).unwrap();
    config.endpoints.into_iter().map(|endpoint| endpoint.name).collect()
}

#[tokio::test(start_paused = true)]
async fn nothing_is_published_before_every_list_is_whole() {
    let mut fed = Fed::new(&["a", "b"]);
    fed.pods("a", 10, &[of("a", vllm("p", "10.0.0.1"))]).await;
    fed.routes("a", 10, &[of("a", manifest("r", &["m"]))]).await;
    fed.routes("b", 10, &[]).await;
    fed.publishes_nothing().await;
    assert_eq!(fed.readiness.pending(), ["routes to be published"]);
    assert!(fed.views.borrow().routes.is_empty());
    fed.pods("b", 10, &[of("b", vllm("p", "10.0.0.2"))]).await;
    let (world, took) = fed.world().await;
    assert!(took < Duration::from_millis(50), "it was waited for long enough: {took:?}");
    assert_eq!(endpoints(&world, "a/r"), ["a/p"]);
    assert!(fed.readiness.ready());
    assert_eq!((fed.views.borrow().routes.len(), fed.views.borrow().pods), (1, 2));
}

#[tokio::test(start_paused = true)]
async fn a_cluster_without_routes_is_a_world_too() {
    let mut fed = Fed::new(&[ALL]);
    fed.pods(ALL, 1, &[]).await;
    fed.routes(ALL, 1, &[]).await;
    assert!(fed.world().await.0.routes.is_empty());
    assert!(fed.readiness.ready());
}

/// A publisher that has listed a route over the pods `p` and `q`.
async fn listed() -> Fed {
    let mut fed = Fed::new(&[ALL]);
    fed.routes(ALL, 20, &[manifest("r", &["m"])]).await;
    fed.pods(ALL, 10, &[vllm("p", "10.0.0.1"), vllm("q", "10.0.0.2")]).await;
    let (world, _) = fed.world().await;
    assert_eq!(endpoints(&world, "llm/r"), ["llm/p", "llm/q"]);
    assert_eq!(world.version("llm/r"), Version { pods: 10, routes: 20 });
    fed
}

#[tokio::test(start_paused = true)]
async fn changes_are_published_with_how_far_was_read_and_departures_at_once() {
    let mut fed = listed().await;
    fed.applied(&vllm("s", "10.0.0.3"), 31).await;
    let (world, took) = fed.world().await;
    assert_eq!(endpoints(&world, "llm/r"), ["llm/p", "llm/q", "llm/s"]);
    assert_eq!(world.version("llm/r"), Version { pods: 31, routes: 20 });
    assert!(took >= Duration::from_millis(50), "others may follow: {took:?}");
    tokio::time::advance(Duration::from_secs(1)).await;
    fed.sees(ALL, KindEvent::Pods(Event::Deleted(pod_of(&vllm("p", "10.0.0.1")), 32))).await;
    let (world, took) = fed.world().await;
    assert_eq!(endpoints(&world, "llm/r"), ["llm/q", "llm/s"]);
    assert!(took < Duration::from_millis(10), "{took:?}");
    fed.sees(ALL, KindEvent::Routes(Event::Deleted(raw(manifest("r", &["m"])), 33))).await;
    assert!(fed.world().await.0.routes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_burst_is_one_publication() {
    let mut fed = listed().await;
    for i in 3..40 {
        let pod = vllm(&format!("s{i}"), &format!("10.0.0.{i}"));
        fed.applied(&pod, i).await;
    }
    assert_eq!(endpoints(&fed.world().await.0, "llm/r").len(), 39);
    fed.publishes_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn what_a_new_list_does_not_have_is_gone() {
    let mut fed = listed().await;
    fed.pods(ALL, 50, &[vllm("q", "10.0.0.2"), vllm("s", "10.0.0.3")]).await;
    let (world, took) = fed.world().await;
    assert_eq!(endpoints(&world, "llm/r"), ["llm/q", "llm/s"]);
    assert_eq!(world.version("llm/r").pods, 50);
    assert!(took < Duration::from_millis(100), "requests would be sent in vain: {took:?}");
    fed.routes(ALL, 61, &[]).await;
    assert!(fed.world().await.0.routes.is_empty());
}

#[tokio::test(start_paused = true)]
async fn how_far_was_read_is_told_though_nothing_came_of_it() {
    let mut fed = listed().await;
    fed.applied(&of("other", vllm("x", "10.0.0.9")), 69).await;
    fed.sees(ALL, KindEvent::Pods(Event::Read(70))).await;
    let (world, took) = fed.world().await;
    assert_eq!(world.version("llm/r"), Version { pods: 70, routes: 20 });
    assert!(took <= Duration::from_secs(1), "{took:?}");
    let nonce = world.routes["llm/r"].nonce;
    fed.pods(ALL, 80, &[vllm("p", "10.0.0.1"), vllm("q", "10.0.0.2")]).await;
    let (world, took) = fed.world().await;
    assert_eq!((world.version("llm/r").pods, world.routes["llm/r"].nonce), (80, nonce));
    assert!(took <= Duration::from_secs(1), "{took:?}");
    fed.publishes_nothing().await;
}

#[tokio::test(start_paused = true)]
async fn a_status_that_was_seen_is_in_the_view() {
    let mut fed = listed().await;
    let mut written = manifest("r", &["m"]);
    written["status"] = json!({"prefill": "2/2", "conditions": []});
    fed.views.mark_unchanged();
    fed.sees(ALL, KindEvent::Routes(Event::Applied(raw(written), 21))).await;
    fed.views.changed().await.unwrap();
    let view = Arc::clone(&fed.views.borrow());
    let (route, _) = view.routes.values().next().expect("it is there");
    assert_eq!(route.observed.prefill.as_deref(), Some("2/2"));
    let (world, _) = fed.world().await;
    assert_eq!(world.version("llm/r").routes, 21, "only how far was read is new");
}

#[tokio::test(start_paused = true)]
async fn an_object_that_makes_no_sense_stops_nothing() {
    let mut fed = listed().await;
    for odd in [json!({"metadata": {}}), json!({"metadata": {"name": "x"}, "spec": {}})] {
        fed.applied(&odd, 0).await;
    }
    for odd in [json!({"metadata": {}}), json!({"metadata": {"name": "x"}, "spec": 7, "status": 8})]
    {
        fed.sees(ALL, KindEvent::Routes(Event::Applied(raw(odd), 0))).await;
    }
    fed.sees(ALL, KindEvent::Pods(Event::Deleted(pod_of(&vllm("p", "10.0.0.1")), 40))).await;
    assert_eq!(endpoints(&fed.world().await.0, "llm/r"), ["llm/q"]);
}

#[tokio::test(start_paused = true)]
async fn it_ends_with_the_watches_and_takes_the_world_along() {
    let Fed { seen, mut worlds, publishing, .. } = listed().await;
    drop(seen);
    publishing.await.unwrap();
    assert!(worlds.changed().await.is_err(), "streams end by that");
}
