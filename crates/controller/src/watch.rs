//! The watches: everything there is of a kind, and then each change, in the order in which the API server tells it.
//!
//! A watch is asked for [`WINDOW`] at a time and then renewed from where it stood, so that a connection that was silently
//! cut is noticed. What fails is logged and tried again; only when the API server has forgotten the history in
//! between is everything listed anew. Own code, since kube's watcher tells neither bookmarks nor renewals, by which it
//! is known how far the history was read.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Client, Resource, ResourceExt};
use prometheus_client::metrics::counter::Counter;
use qoe_runtime::readiness::{Guard, Readiness};
use rand::RngExt;
use serde::de::DeserializeOwned;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::kube_client::{explain, is_denied};
use crate::pod::Pod;
use crate::route::RawRoute;
use crate::sight::{FAILING_FOR, Failure, Source};

/// How long a watch is asked for at a time. Each renewal is a request; API servers send a bookmark 2 s before.
const WINDOW: Duration = Duration::from_secs(30);
/// The API server may be this late with the end of a window, or with the answer to a request for one.
const LATE: Duration = Duration::from_secs(5);
/// How long a watch is taken for good after it told something. Its silence is noticed when the window is over; from then
/// on there is as much time to open another as after any other failure.
const GOOD_FOR: Duration = WINDOW.saturating_add(LATE).saturating_add(FAILING_FOR);
/// A list after a watch whose history is forgotten: Kubernetes' objective for a list of all namespaces is 30 s. At half
/// of it a large cluster's list would end every stream; at double, states a minute old could be sent.
const LIST_WITHIN: Duration = Duration::from_secs(30);
/// A window that ends sooner than this without an event was not served.
const SHORTEST: Duration = Duration::from_secs(1);
/// Objects in one answer to a list; client-go's number.
const PAGE: u32 = 500;
/// Waits after failures: the first, and the longest; up to half is taken off at random.
const FIRST_WAIT: Duration = Duration::from_millis(200);
const LONGEST_WAIT: Duration = Duration::from_secs(3);

/// An event of a watch, and the watch's scope: a namespace, or `""` for all.
pub(crate) struct ScopedEvent {
    pub(crate) scope: Arc<str>,
    pub(crate) event: KindEvent,
}

/// An event of a watch of either kind.
pub(crate) enum KindEvent {
    Pods(Event<Pod>),
    Routes(Event<RawRoute>),
}

/// What happened to objects of a kind. The number is the resource version up to which everything was read with it.
pub(crate) enum Event<K> {
    /// These are all objects there are.
    Listed(Vec<K>, u64),
    Applied(K, u64),
    Deleted(K, u64),
    /// Nothing.
    Read(u64),
}

/// One watch.
pub(crate) struct Watch<K> {
    pub(crate) api: Api<K>,
    pub(crate) scope: Arc<str>,
    /// For operators: `pods`, `qoeroutes`.
    pub(crate) kind: &'static str,
    pub(crate) wrap: fn(Event<K>) -> KindEvent,
    pub(crate) out: mpsc::Sender<ScopedEvent>,
    pub(crate) readiness: Readiness,
    pub(crate) source: Source,
    pub(crate) failures: Counter,
}

/// Why a watch cannot go on.
enum Stop {
    /// Nobody receives what it sees.
    Closed,
    /// To be tried again from the same version.
    Failed(Failure),
    /// The history since that version is forgotten: everything is to be listed.
    Expired(String),
}

impl From<kube::Error> for Stop {
    fn from(error: kube::Error) -> Self {
        let why = explain(&error);
        match error {
            kube::Error::Api(status) if status.code == 410 => Self::Expired(why),
            error if is_denied(&error) => Self::Failed(Failure::Denied(why)),
            _ => Self::broken(&why),
        }
    }
}

impl Stop {
    fn broken(why: &str) -> Self {
        Self::Failed(Failure::Broken(why.to_owned()))
    }
}

/// The scopes to watch; one scope `""` is all namespaces.
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

/// A scope, for operators.
pub(crate) fn scope_name(scope: &str) -> &str {
    if scope.is_empty() { "all namespaces" } else { scope }
}

impl<K> Watch<K>
where
    K: Resource<DynamicType = ()> + Clone + Debug + DeserializeOwned + Send + 'static,
{
    /// Watches for ever. Not ready until everything was listed once.
    pub(crate) async fn run(self) {
        let mut awaiting = Some(self.awaiting("to be listed"));
        let mut wait = FIRST_WAIT;
        // Up to where everything was read; `None`: everything is to be listed.
        let mut read = None;
        loop {
            let done = match &mut read {
                None => self.list().await.map(|version| read = Some(version)),
                Some(version) => self.window(version).await,
            };
            let why = match done {
                Ok(()) => {
                    awaiting = None;
                    wait = FIRST_WAIT;
                    continue;
                }
                Err(Stop::Closed) => return,
                Err(Stop::Failed(failure)) => {
                    let why = failure.text().to_owned();
                    self.source.failed(failure);
                    why
                }
                // The API server answers as it should: this is a failure only if the list that is due is not had in time.
                Err(Stop::Expired(why)) => {
                    if read.take().is_some() {
                        self.source.rereads(LIST_WITHIN);
                    }
                    why
                }
            };
            self.report(&why);
            if awaiting.is_some() {
                awaiting = Some(self.awaiting(&format!("to be listed: {why}")));
            }
            let jittered = wait.mul_f64(rand::rng().random_range(0.5..=1.0));
            sleep(jittered).await;
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn report(&self, why: &str) {
        self.failures.inc();
        let scope = scope_name(&self.scope);
        tracing::warn!(kind = self.kind, scope, error = why, "a watch failed; it is tried again");
    }

    /// Lists everything; returns the version of the list.
    async fn list(&self) -> Result<String, Stop> {
        let mut params = ListParams::default().limit(PAGE);
        let mut objects = Vec::new();
        // All pages show the state at the version of the first.
        let version = loop {
            let page = self.api.list(&params).await?;
            objects.extend(page.items);
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params = params.continue_token(&token),
                None => break page.metadata.resource_version.unwrap_or_default(),
            }
        };
        self.send(Event::Listed(objects, number(&version))).await?;
        self.source.good(GOOD_FOR);
        tracing::info!(kind = self.kind, scope = scope_name(&self.scope), "listed");
        Ok(version)
    }

    /// Watches from `version` on, which moves along, until the API server ends it.
    async fn window(&self, version: &mut String) -> Result<(), Stop> {
        let opened = Instant::now();
        let seconds = u32::try_from(WINDOW.as_secs()).expect("half a minute");
        let params = WatchParams::default().timeout(seconds);
        let silent = |_| Stop::broken("the API server is silent");
        let events = timeout(LATE, self.api.watch(&params, version)).await.map_err(silent)??;
        tokio::pin!(events);
        self.source.good(GOOD_FOR);
        let mut nothing_came = true;
        while let Some(event) =
            timeout_at(opened + WINDOW + LATE, events.next()).await.map_err(silent)?
        {
            self.hand_on(event?, version).await?;
            self.source.good(GOOD_FOR);
            nothing_came = false;
        }
        if nothing_came && opened.elapsed() < SHORTEST {
            return Err(Stop::broken("the API server ended the watch at once"));
        }
        Ok(())
    }

    async fn hand_on(&self, event: WatchEvent<K>, version: &mut String) -> Result<(), Stop> {
        let of = |object: &K| object.resource_version().unwrap_or_default();
        let (event, read) = match event {
            WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                let read = of(&object);
                (Event::Applied(object, number(&read)), read)
            }
            WatchEvent::Deleted(object) => {
                let read = of(&object);
                (Event::Deleted(object, number(&read)), read)
            }
            WatchEvent::Bookmark(bookmark) => {
                let read = bookmark.metadata.resource_version;
                (Event::Read(number(&read)), read)
            }
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
        };
        self.send(event).await?;
        *version = read;
        Ok(())
    }

    async fn send(&self, event: Event<K>) -> Result<(), Stop> {
        let event = ScopedEvent { scope: Arc::clone(&self.scope), event: (self.wrap)(event) };
        self.out.send(event).await.map_err(|_| Stop::Closed)
    }

    fn awaiting(&self, what: &str) -> Guard {
        let scope = scope_name(&self.scope);
        self.readiness.awaiting(format!("{} of {scope} {what}", self.kind))
    }
}

/// A resource version as a number; one that is none cannot be compared, and counts as the beginning.
fn number(version: &str) -> u64 {
    version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests;
