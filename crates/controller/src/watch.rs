//! The watches. What they see goes to the index in the order it was seen; what goes wrong is told, and tried again.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{StreamExt, TryStreamExt};
use kube::api::ListParams;
use kube::runtime::watcher::{self, Event, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use prometheus_client::metrics::counter::Counter;
use qoe_runtime::readiness::{Guard, Readiness};
use rand::RngExt;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;

use crate::index::RawRoute;
use crate::pod::Pod;

/// A watch is asked for this long at a time; a connection that was silently cut is noticed a little later.
const WATCH_FOR_SECONDS: u32 = 30;
/// Waits after failures: the first, and the longest, each with a random part.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// What a watch saw, and in which scope: a namespace, or `""` for all.
pub(crate) struct Seen {
    pub(crate) scope: Arc<str>,
    pub(crate) what: What,
}

/// What a watch saw.
pub(crate) enum What {
    Pods(Event<Pod>),
    Routes(Event<RawRoute>),
    /// Everything up to here was seen.
    PodsRead(u64),
    RoutesRead(u64),
    /// The list that is under way will have everything up to here.
    PodsFloor(u64),
    RoutesFloor(u64),
}

/// One watch.
pub(crate) struct Watch<K> {
    pub(crate) api: Api<K>,
    pub(crate) scope: Arc<str>,
    /// For people: `pods`, `qoeroutes`.
    pub(crate) kind: &'static str,
    pub(crate) seen: fn(Event<K>) -> What,
    pub(crate) read: fn(u64) -> What,
    pub(crate) floor: fn(u64) -> What,
    pub(crate) out: mpsc::Sender<Seen>,
    pub(crate) readiness: Readiness,
    pub(crate) failures: Counter,
}

/// The watches of pods and routes in each scope; one scope `""` is all namespaces.
pub(crate) fn scopes(namespaces: &[String]) -> Vec<Arc<str>> {
    match namespaces {
        [] => vec!["".into()],
        some => some.iter().map(|namespace| namespace.as_str().into()).collect(),
    }
}

/// The API of a kind in a scope.
pub(crate) fn api<K>(client: &Client, scope: &str) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = kube::core::NamespaceResourceScope>,
{
    match scope {
        "" => Api::all(client.clone()),
        namespace => Api::namespaced(client.clone(), namespace),
    }
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Watches for ever. Not ready until everything was listed once.
    pub(crate) async fn run(self) {
        let mut events = self.events();
        let mut awaiting = Some(self.awaiting("to be listed"));
        let mut wait = FIRST_WAIT;
        loop {
            let failed = match events.try_next().await {
                Ok(Some(event)) => match self.hand_on(event, &mut awaiting).await {
                    Ok(true) => {
                        wait = FIRST_WAIT;
                        continue;
                    }
                    Ok(false) => return,
                    Err(error) => {
                        // The list that was begun is not followed up: what is not in it would never be missed.
                        events = self.events();
                        error
                    }
                },
                Ok(None) => return,
                Err(error) => told(&error),
            };
            self.failures.inc();
            tracing::warn!(
                kind = self.kind,
                scope = self.scope_name(),
                error = failed,
                "a watch failed; it is tried again"
            );
            if awaiting.is_some() {
                awaiting = Some(self.awaiting(&format!("to be listed: {failed}")));
            }
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..=1.0));
            tokio::time::sleep(jittered).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    /// Everything from the beginning: a whole list, then each change.
    fn events(&self) -> BoxStream<'static, watcher::Result<Event<K>>> {
        let config = watcher::Config::default().timeout(WATCH_FOR_SECONDS);
        watcher(self.api.clone(), config).boxed()
    }

    /// False where nobody listens any more; an error where a list cannot be begun.
    async fn hand_on(&self, event: Event<K>, awaiting: &mut Option<Guard>) -> Result<bool, String> {
        let done = matches!(event, Event::InitDone);
        if matches!(event, Event::Init) {
            // What the list that follows has read at least; the list itself does not tell.
            let first = self.api.list(&ListParams::default().limit(1)).await;
            let list = first.map_err(|error| told_by_client(&error))?;
            let floor = number(list.metadata.resource_version.as_deref());
            return Ok(self.send((self.seen)(event)).await && self.send((self.floor)(floor)).await);
        }
        if let Event::Apply(object) | Event::Delete(object) = &event {
            let version = number(object.resource_version().as_deref());
            // The object first: what has been read is claimed only with it.
            let (seen, read) = ((self.seen)(event), (self.read)(version));
            return Ok(self.send(seen).await && self.send(read).await);
        }
        let sent = self.send((self.seen)(event)).await;
        if done {
            *awaiting = None;
            tracing::info!(kind = self.kind, scope = self.scope_name(), "listed");
        }
        Ok(sent)
    }

    async fn send(&self, what: What) -> bool {
        self.out.send(Seen { scope: Arc::clone(&self.scope), what }).await.is_ok()
    }

    fn awaiting(&self, what: &str) -> Guard {
        self.readiness.awaiting(format!("{} of {} {what}", self.kind, self.scope_name()))
    }

    fn scope_name(&self) -> &str {
        if self.scope.is_empty() { "all namespaces" } else { &self.scope }
    }
}

/// Resource versions are numbers where they can be compared at all; others count as the beginning.
fn number(version: Option<&str>) -> u64 {
    version.and_then(|version| version.parse().ok()).unwrap_or(0)
}

/// What failed, and what to do.
fn told(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => told_by_client(error),
        watcher::Error::WatchError(status) => told_by_status(status.code, &status.message),
        watcher::Error::NoResourceVersion => error.to_string(),
    }
}

/// What failed at the API server, and what to do.
pub(crate) fn told_by_client(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => told_by_status(status.code, &status.message),
        other => {
            let cause =
                std::iter::successors(Some(other as &dyn std::error::Error), |e| e.source());
            cause.last().map_or_else(String::new, ToString::to_string)
        }
    }
}

fn told_by_status(code: u16, message: &str) -> String {
    let hint = match code {
        401 => ": is the token of this cluster?",
        403 => ": give the controller this permission (see its ClusterRole)",
        404 => {
            ": is the CustomResourceDefinition installed? `qoe-controller crd | kubectl apply -f -`"
        }
        410 => ": too old; everything is listed anew",
        _ => "",
    };
    format!("{message}{hint}")
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http::{Request, Response};
    use kube::client::Body;
    use serde_json::{Value, json};

    use super::*;

    /// An API server with one pod. Its first so many answers are errors of this code.
    fn client(failures: usize, code: u16) -> Client {
        let asked = Arc::new(AtomicUsize::new(0));
        let answer = move |request: Request<Body>| {
            let fails = asked.fetch_add(1, Ordering::Relaxed) < failures;
            async move {
                if request.uri().query().is_some_and(|query| query.contains("watch=true")) {
                    std::future::pending::<()>().await;
                }
                let (status, body) = if fails { (code, error(code)) } else { (200, list()) };
                let body = Body::from(body.to_string().into_bytes());
                Response::builder().status(status).body(body)
            }
        };
        Client::new(tower::service_fn(answer), "default")
    }

    fn error(code: u16) -> Value {
        json!({"kind": "Status", "status": "Failure", "message": "no", "reason": "", "code": code})
    }

    fn list() -> Value {
        let pod = json!({"metadata": {"name": "p", "namespace": "llm", "resourceVersion": "5"}});
        json!({"metadata": {"resourceVersion": "7"}, "items": [pod]})
    }

    /// Watches pods, and says in words what is seen.
    fn watch(client: &Client, readiness: &Readiness) -> mpsc::Receiver<Seen> {
        let (out, seen) = mpsc::channel(16);
        let watch = Watch {
            api: api::<Pod>(client, ""),
            scope: "".into(),
            kind: "pods",
            seen: What::Pods,
            read: What::PodsRead,
            floor: What::PodsFloor,
            out,
            readiness: readiness.clone(),
            failures: Counter::default(),
        };
        tokio::spawn(watch.run());
        seen
    }

    fn in_words(seen: &Seen) -> String {
        match &seen.what {
            What::Pods(event) => event.to_string(),
            What::PodsFloor(floor) => format!("Floor({floor})"),
            What::PodsRead(read) => format!("Read({read})"),
            What::Routes(_) | What::RoutesRead(_) | What::RoutesFloor(_) => "routes?".to_owned(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_handed_on_whole_or_begun_anew_whichever_request_fails() {
        for failures in 0..4 {
            let readiness = Readiness::new();
            let mut events = watch(&client(failures, 500), &readiness);
            let mut seen: Vec<String> = Vec::new();
            while seen.last().is_none_or(|last| last != "InitDone") {
                seen.push(in_words(&events.recv().await.expect("it watches on")));
            }
            let last = seen.iter().rposition(|what| what == "Init").expect("a list begins");
            assert_eq!(seen[last..], ["Init", "Floor(7)", "InitApply(p)", "InitDone"], "{seen:?}");
            assert!(!seen[..last].iter().any(|what| what.starts_with("InitApply")), "{seen:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_missing_is_named_until_it_is_there() {
        let hint = "give the controller this permission";
        let readiness = Readiness::new();
        let mut events = watch(&client(9, 403), &readiness);
        while !readiness.pending().iter().any(|missing| missing.contains(hint)) {
            tokio::time::sleep(FIRST_WAIT).await;
        }
        assert!(readiness.pending()[0].starts_with("pods of all namespaces to be listed: "));
        while in_words(&events.recv().await.expect("it watches on")) != "InitDone" {}
        tokio::task::yield_now().await;
        assert_eq!(readiness.pending(), Vec::<String>::new());
    }
}
