use std::sync::Mutex;

use http::{Method, Request, Response};
use kube::client::Body;
use prometheus_client::registry::Registry as Prometheus;
use serde_json::{Value, json};
use tokio::time::{advance, sleep};

use super::*;
use crate::index::Index;
use crate::index::tests::{manifest, raw};

/// What an API server does with writes of one kind.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Takes {
    Them,
    /// It never answers.
    Nothing,
}

/// When statuses and events were asked to be written, since the start.
#[derive(Clone, Default)]
struct Asked(Arc<Mutex<Vec<(&'static str, Duration)>>>);

impl Asked {
    fn of(&self, kind: &str) -> Vec<Duration> {
        let asked = self.0.lock().unwrap();
        asked.iter().filter(|(of, _)| *of == kind).map(|(_, at)| *at).collect()
    }
}

fn client(asked: &Asked, statuses: Takes, events: Takes) -> Client {
    let (asked, epoch) = (asked.clone(), Instant::now());
    let answer = move |request: Request<Body>| {
        let event = request.uri().path().contains("/events");
        if request.method() != Method::GET {
            let kind = if event { "event" } else { "status" };
            asked.0.lock().unwrap().push((kind, epoch.elapsed()));
        }
        let hangs = (if event { events } else { statuses }) == Takes::Nothing;
        async move {
            if hangs {
                std::future::pending::<()>().await;
            }
            let object = json!({"metadata": {"name": "r", "namespace": "llm"}});
            Response::builder().body(Body::from(object.to_string().into_bytes()))
        }
    };
    Client::new(tower::service_fn(answer), "default")
}

/// A writer that leads.
struct Writing {
    asked: Asked,
    index: Index,
    view: watch::Sender<Arc<View>>,
    outage: watch::Sender<Outage>,
}

impl Writing {
    fn start(statuses: Takes, events: Takes) -> Self {
        let (asked, epoch) = (Asked::default(), Instant::now());
        let (view, views) = watch::channel(Arc::default());
        let (outage, outages) = watch::channel(None);
        let leadership = Leadership::new(epoch);
        leadership.set(Some(Duration::from_secs(3600)));
        let parts = Parts {
            client: client(&asked, statuses, events),
            identity: "me".to_owned(),
            view: views,
            outage: outages,
            registry: Arc::new(Registry::new(epoch)),
            leadership,
            metrics: Arc::new(Metrics::register(&mut Prometheus::default())),
            epoch,
        };
        tokio::spawn(Writer::new(parts).run());
        Self { asked, index: Index::new("default"), view, outage }
    }

    fn publish(&mut self, route: Value) {
        self.index.route(raw(route));
        let (_, view) = self.index.publish(Duration::ZERO);
        self.view.send_replace(Arc::new(view));
    }
}

fn generation(route: &str, generation: u64) -> Value {
    let mut route = manifest(route, &[route]);
    route["metadata"]["generation"] = json!(generation);
    route
}

#[tokio::test(start_paused = true)]
async fn events_that_hang_delay_no_status() {
    let mut writing = Writing::start(Takes::Them, Takes::Nothing);
    for route in ["a", "b", "c"] {
        writing.publish(generation(route, 1));
    }
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(writing.asked.of("status").len(), 3);
    assert!(!writing.asked.of("event").is_empty(), "no pod is selected: that is an event");
    let changed = Duration::from_millis(1500);
    writing.publish(generation("a", 2));
    sleep(EVERY * 2).await;
    let statuses = writing.asked.of("status");
    assert_eq!(statuses.len(), 4);
    assert!(statuses[3] - changed <= EVERY, "at the next look: {statuses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_new_leader_of_many_routes_says_each_event_once() {
    const ROUTES: usize = 400;
    let mut writing = Writing::start(Takes::Them, Takes::Them);
    for route in 0..ROUTES {
        writing.index.route(raw(generation(&format!("r{route}"), 1)));
    }
    let (_, view) = writing.index.publish(Duration::ZERO);
    writing.view.send_replace(Arc::new(view));
    sleep(EVERY * 30).await;
    // That it has no endpoints, and, when they had time to connect, no routers.
    assert_eq!(writing.asked.of("event").len(), 2 * ROUTES);
}

#[tokio::test(start_paused = true)]
async fn statuses_that_hang_delay_no_event() {
    let mut writing = Writing::start(Takes::Nothing, Takes::Them);
    writing.publish(generation("a", 1));
    sleep(Duration::from_millis(1500)).await;
    assert_eq!(writing.asked.of("status").len(), 1);
    let events = writing.asked.of("event");
    assert!(events.first().is_some_and(|at| *at <= EVERY), "{events:?}");
}

#[tokio::test(start_paused = true)]
async fn nothing_is_written_while_the_cluster_cannot_be_read() {
    let mut writing = Writing::start(Takes::Them, Takes::Them);
    writing.outage.send_replace(Some("the link is cut".into()));
    writing.publish(generation("a", 1));
    advance(Duration::from_secs(1)).await;
    sleep(EVERY * 20).await;
    assert!(writing.asked.0.lock().unwrap().is_empty());
    writing.outage.send_replace(None);
    sleep(EVERY * 2).await;
    assert_eq!(writing.asked.of("status").len(), 1);
}
