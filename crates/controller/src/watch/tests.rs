use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Mutex;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::client::Body;
use serde_json::{Value, json};

use super::*;
use crate::sight::Sight;

/// What an API server answers.
#[derive(Clone)]
enum Says {
    /// A list with this version, and these objects.
    List(u64, Vec<Value>),
    /// A watch with these events, which then ends.
    Watch(Vec<Value>),
    /// A watch that never tells anything.
    Silence,
    /// A list of these objects, after so long.
    Late(Duration, Vec<Value>),
    /// An error with this code.
    Error(u16),
}

/// An API server that answers by a script, and what it was asked for.
#[derive(Clone, Default)]
struct Server {
    script: Arc<Mutex<VecDeque<Says>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    /// After the script, every list is empty, and every watch silent.
    fn new(script: impl IntoIterator<Item = Says>) -> Self {
        let script = Arc::new(Mutex::new(script.into_iter().collect()));
        Self { script, ..Self::default() }
    }

    fn client(&self) -> Client {
        let server = self.clone();
        let answer = move |request: Request<Body>| {
            let says = server.next(request.uri().query().unwrap_or_default());
            async move {
                if let Says::Late(after, _) = &says {
                    sleep(*after).await;
                }
                Ok::<_, Infallible>(answer(says))
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    fn next(&self, query: &str) -> Says {
        self.asked.lock().unwrap().push(query.to_owned());
        let next = self.script.lock().unwrap().pop_front();
        next.unwrap_or_else(|| {
            if query.contains("watch=true") { Says::Silence } else { Says::List(9, Vec::new()) }
        })
    }

    /// The versions from which it was watched, in turn.
    fn watched_from(&self) -> Vec<u64> {
        let asked = self.asked.lock().unwrap();
        let version = |query: &String| {
            let (_, rest) = query.split_once("resourceVersion=")?;
            query.contains("watch=true").then(|| rest.split('&').next().unwrap().parse().unwrap())
        };
        asked.iter().filter_map(version).collect()
    }
}

type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

fn answer(says: Says) -> Answer {
    let (status, text) = match says {
        Says::Late(_, items) => return answer(Says::List(9, items)),
        Says::List(version, items) => {
            let version = version.to_string();
            (200, json!({"metadata": {"resourceVersion": version}, "items": items}).to_string())
        }
        Says::Watch(events) => {
            (200, events.iter().map(|event| format!("{event}\n")).collect::<String>())
        }
        Says::Silence => {
            let nothing = futures::stream::pending::<Result<Frame<Bytes>, Infallible>>();
            return Response::new(StreamBody::new(nothing).boxed_unsync());
        }
        Says::Error(code) => (code, failure(code).to_string()),
    };
    let body = Full::new(Bytes::from(text)).boxed_unsync();
    Response::builder().status(status).body(body).unwrap()
}

fn failure(code: u16) -> Value {
    json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "", "code": code})
}

fn pod(name: &str, version: u64) -> Value {
    let version = version.to_string();
    json!({"metadata": {"name": name, "namespace": "llm", "resourceVersion": version}})
}

fn event(kind: &str, object: Value) -> Value {
    json!({"type": kind, "object": object})
}

fn bookmark(version: u64) -> Value {
    let version = version.to_string();
    event(
        "BOOKMARK",
        json!({"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": version}}),
    )
}

fn gone() -> Value {
    event("ERROR", failure(410))
}

/// A watch of pods in all namespaces.
struct Watched {
    sight: Sight,
    seen: mpsc::Receiver<ScopedEvent>,
    readiness: Readiness,
    failures: Counter,
}

fn watch(server: &Server) -> Watched {
    let (out, seen) = mpsc::channel(16);
    let (readiness, failures) = (Readiness::new(), Counter::default());
    let (sight, scope) = (Sight::default(), "".into());
    let watch = Watch {
        api: api::<Pod>(&server.client(), ""),
        scope: Arc::clone(&scope),
        kind: "pods",
        wrap: KindEvent::Pods,
        out,
        readiness: readiness.clone(),
        source: sight.source("pods", Some(&scope)),
        failures: failures.clone(),
    };
    tokio::spawn(watch.run());
    Watched { sight, seen, readiness, failures }
}

impl Watched {
    /// What is seen next, in words.
    async fn next(&mut self) -> String {
        let name = |pod: &Pod| pod.name_any();
        match self.seen.recv().await.expect("it watches on").event {
            KindEvent::Pods(Event::Listed(pods, read)) => {
                let names: Vec<_> = pods.iter().map(name).collect();
                format!("all: {} at {read}", names.join(","))
            }
            KindEvent::Pods(Event::Applied(pod, read)) => format!("{} at {read}", name(&pod)),
            KindEvent::Pods(Event::Deleted(pod, read)) => format!("no {} at {read}", name(&pod)),
            KindEvent::Pods(Event::Read(read)) => format!("nothing at {read}"),
            KindEvent::Routes(_) => "routes?".to_owned(),
        }
    }

    async fn sees(&mut self, wanted: &[&str]) {
        for wanted in wanted {
            assert_eq!(self.next().await, *wanted);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_and_then_each_change_is_seen_with_how_far_was_read() {
    let server = Server::new([
        Says::List(7, vec![pod("a", 3), pod("b", 5)]),
        Says::Watch(vec![
            event("ADDED", pod("c", 8)),
            event("MODIFIED", pod("a", 9)),
            event("DELETED", pod("b", 12)),
            bookmark(20),
        ]),
    ]);
    let mut watched = watch(&server);
    watched.sees(&["all: a,b at 7", "c at 8", "a at 9", "no b at 12", "nothing at 20"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.watched_from(), [7, 20], "it is renewed from where it stood");
    assert_eq!(watched.failures.get(), 0, "the end of a window is no failure");
    assert!(watched.readiness.ready());
}

#[tokio::test(start_paused = true)]
async fn a_failure_is_tried_again_from_where_the_watch_stood() {
    let server = Server::new([
        Says::Error(500),
        Says::List(7, vec![pod("a", 3)]),
        Says::Error(500),
        Says::Watch(vec![event("ADDED", pod("b", 8))]),
        Says::Error(500),
        Says::Watch(vec![event("ADDED", pod("c", 9))]),
    ]);
    let mut watched = watch(&server);
    watched.sees(&["all: a at 7", "b at 8", "c at 9"]).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(server.watched_from(), [7, 7, 8, 8, 9]);
    assert_eq!(watched.failures.get(), 3);
}

#[tokio::test(start_paused = true)]
async fn everything_is_listed_anew_where_the_history_is_forgotten() {
    let server = Server::new([
        Says::List(7, vec![pod("a", 3)]),
        Says::Error(410),
        Says::List(30, vec![pod("b", 20)]),
        Says::Watch(vec![gone()]),
        Says::List(50, vec![]),
    ]);
    watch(&server).sees(&["all: a at 7", "all: b at 30", "all:  at 50"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_is_dead_is_noticed_soon_after_its_window() {
    let server = Server::new([
        Says::List(7, vec![]),
        Says::Silence,
        Says::Watch(vec![event("ADDED", pod("a", 8))]),
    ]);
    let mut watched = watch(&server);
    watched.sees(&["all:  at 7"]).await;
    let began = Instant::now();
    watched.sees(&["a at 8"]).await;
    let took = began.elapsed();
    assert!(took >= WINDOW + LATE && took < WINDOW + LATE + FIRST_WAIT * 2, "{took:?}");
    assert_eq!(watched.failures.get(), 1);
}

/// Whether there is an outage at any moment of this time.
async fn outage_within(sight: &Sight, time: Duration) -> bool {
    let end = Instant::now() + time;
    let mut seen = false;
    while Instant::now() < end {
        seen |= sight.outage(Instant::now()).is_some();
        sleep(Duration::from_millis(10)).await;
    }
    seen
}

#[tokio::test(start_paused = true)]
async fn one_dead_connection_is_no_outage_and_an_api_server_that_stays_silent_is_one() {
    let once = [Says::List(7, vec![]), Says::Silence, Says::Watch(vec![bookmark(8)])];
    let watched = watch(&Server::new(once));
    assert!(!outage_within(&watched.sight, WINDOW + LATE + Duration::from_secs(2)).await);
    let server = Server::new([Says::List(7, vec![]), Says::Silence]);
    server.script.lock().unwrap().extend(std::iter::repeat_n(Says::Error(500), 99));
    let watched = watch(&server);
    assert!(!outage_within(&watched.sight, GOOD_FOR - LATE).await);
    assert!(outage_within(&watched.sight, LATE * 2).await);
}

#[tokio::test(start_paused = true)]
async fn a_list_after_a_forgotten_history_has_its_own_time() {
    let slow = Says::Late(LIST_WITHIN - LATE, vec![pod("a", 20)]);
    let mut script = vec![Says::List(7, vec![])];
    // As after a restart of the API server.
    script.extend([Says::Error(500), Says::Error(410), slow]);
    let mut watched = watch(&Server::new(script));
    watched.sees(&["all:  at 7"]).await;
    assert!(!outage_within(&watched.sight, LIST_WITHIN).await);
    watched.sees(&["all: a at 9"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_server_that_ends_every_watch_at_once_is_not_asked_in_a_loop() {
    let ended = std::iter::repeat_n(Says::Watch(Vec::new()), 1000);
    let server = Server::new(std::iter::once(Says::List(7, vec![])).chain(ended));
    let mut watched = watch(&server);
    watched.sees(&["all:  at 7"]).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let asked = server.watched_from().len();
    assert!((4..20).contains(&asked), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn what_is_missing_is_named_until_it_is_there() {
    let hint = "give the controller this permission";
    let server = Server::new(std::iter::repeat_n(Says::Error(403), 9));
    let mut watched = watch(&server);
    while !watched.readiness.pending().iter().any(|missing| missing.contains(hint)) {
        tokio::time::sleep(FIRST_WAIT).await;
    }
    assert!(watched.readiness.pending()[0].starts_with("pods of all namespaces to be listed: "));
    watched.sees(&["all:  at 9"]).await;
    tokio::task::yield_now().await;
    assert_eq!(watched.readiness.pending(), Vec::<String>::new());
}
