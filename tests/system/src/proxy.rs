//! A router with a configuration file of its own, and its admin pages.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use qoe_router::Router;
use qoe_router::args::Serve;
use qoe_sim::{Config, Role, Server};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use crate::client::get;
use crate::wait::until;

/// Looks at endpoints do not matter to most tests: one at the start.
const ONCE: u64 = 60_000;

/// A `QoERoute` document.
#[must_use]
pub fn route(name: &str, spec: &Value) -> Value {
    json!({
        "apiVersion": "qoe-router.io/v1alpha1",
        "kind": "QoERoute",
        "metadata": {"name": name},
        "spec": spec,
    })
}

/// An endpoint that serves `tiny`. `role` is a label value: `prefill`, `decode`, `both`.
#[must_use]
pub fn endpoint(name: &str, address: SocketAddr, role: &str) -> Value {
    json!({
        "name": name,
        "url": format!("http://{address}"),
        "labels": {"llm-d.ai/role": role},
        "models": ["tiny"],
    })
}

/// The spec of most tests: every request in its prefill phase is handed over, and endpoints take turns.
#[must_use]
pub fn always() -> Value {
    json!({
        "models": ["tiny"],
        "policy": {"type": "RoundRobin"},
        "handoff": {"mode": "Always"},
    })
}

/// The text of a configuration file: JSON is YAML.
#[must_use]
pub fn file(routes: &[Value], endpoints: &[Value]) -> String {
    let list = json!({
        "apiVersion": "qoe-router.io/v1alpha1",
        "kind": "EndpointList",
        "endpoints": endpoints,
    });
    let documents = routes.iter().chain([&list]).map(ToString::to_string);
    documents.collect::<Vec<_>>().join("\n---\n")
}

/// A simulator without delays that serves `tiny`.
///
/// # Panics
/// It does not start.
pub async fn simulator(role: Role) -> Server {
    let config = Config { role, ..Config::default() };
    Server::start(config).await.expect("a simulator")
}

/// A running router.
pub struct Proxy {
    router: Router,
    file: PathBuf,
    _folder: TempDir,
}

impl Proxy {
    /// Starts a router with one route that has `spec`.
    #[must_use]
    pub fn start(spec: &Value, endpoints: &[Value]) -> Self {
        Self::with(&file(&[route("main", spec)], endpoints), ONCE)
    }

    /// The same with a single worker, which shares its connections with nobody.
    #[must_use]
    pub fn with_one_worker(spec: &Value, endpoints: &[Value]) -> Self {
        Self::of(&file(&[route("main", spec)], endpoints), |serve| serve.workers = Some(1))
    }

    /// Starts a router with the configuration `text`, which scrapes its endpoints every `scrape_interval_ms`.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn with(text: &str, scrape_interval_ms: u64) -> Self {
        Self::of(text, |serve| serve.scrape_interval_ms = scrape_interval_ms)
    }

    /// The same with one route that has `spec`, and connections of clients that may be idle for a second.
    #[must_use]
    pub fn with_short_idle(spec: &Value, endpoints: &[Value]) -> Self {
        Self::of(&file(&[route("main", spec)], endpoints), |serve| serve.client_idle_seconds = 1)
    }

    fn of(text: &str, change: impl FnOnce(&mut Serve)) -> Self {
        let folder = TempDir::new().expect("a temporary folder");
        let file = folder.path().join("router.yaml");
        std::fs::write(&file, text).expect("a writable folder");
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut serve = Serve {
            config: Some(file.clone()),
            controller: None,
            controller_tls_dir: None,
            state_dir: None,
            router_id: None,
            listen: any,
            admin: any,
            workers: Some(2),
            scrape_interval_ms: ONCE,
            drain_seconds: 30,
            client_idle_seconds: 75,
            body_memory_mib: 1024,
            drain_delay_seconds: 0,
        };
        change(&mut serve);
        let router = Router::start(&serve).unwrap_or_else(|error| panic!("{error:#}"));
        Self { router, file, _folder: folder }
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.router.address()
    }

    /// Where the admin pages are.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.router.admin_address()
    }

    /// Changes the configuration file.
    ///
    /// # Panics
    /// It cannot be written.
    pub fn rewrite(&self, text: &str) {
        // Written beside and moved: it is never seen half.
        let new = self.file.with_extension("new");
        std::fs::write(&new, text)
            .and_then(|()| std::fs::rename(&new, &self.file))
            .expect("a file");
    }

    /// An admin page as text.
    ///
    /// # Panics
    /// It is no text.
    pub async fn page(&self, path: &str) -> String {
        let page = get(self.admin_address(), path).await.whole().await;
        String::from_utf8(page.to_vec()).expect("pages are text")
    }

    /// An admin page as JSON.
    pub async fn admin(&self, path: &str) -> Value {
        get(self.admin_address(), path).await.json().await
    }

    /// The records of ended requests, newest first, once there are at least `count`.
    pub async fn records(&self, count: usize) -> Vec<Value> {
        let mut records = Vec::new();
        until("as many records as requests", async || {
            let page = self.admin("/debug/requests?limit=2000").await;
            records = page["requests"].as_array().cloned().unwrap_or_default();
            records.len() >= count
        })
        .await;
        records
    }

    /// The newest record, once there is one.
    pub async fn record(&self) -> Value {
        self.records(1).await.swap_remove(0)
    }

    /// The version of the configuration in use.
    pub async fn version(&self) -> u64 {
        self.admin("/config_dump").await["version"].as_u64().unwrap_or_default()
    }

    /// Requests that the router counts as in flight, over all endpoints and phases.
    pub async fn in_flight(&self) -> u64 {
        let page = self.admin("/debug/endpoints").await;
        let of = |endpoint: &Value| {
            let counts = &endpoint["inFlight"];
            counts["prefill"].as_u64().unwrap_or(1) + counts["decoding"].as_u64().unwrap_or(1)
        };
        page["endpoints"].as_array().map_or(1, |endpoints| endpoints.iter().map(of).sum())
    }

    /// The sum of the samples of `/metrics` whose name is `name` and whose labels hold all of `labels`.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> f64 {
        let page = self.page("/metrics").await;
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ')?;
            let (family, set) = series.split_once('{').unwrap_or((series, ""));
            let fits = family == name && labels.iter().all(|label| set.contains(label));
            fits.then(|| value.parse::<f64>().ok())?
        };
        page.lines().filter_map(sample).sum()
    }

    /// Drains: see [`Router::shut_down`]. The admin pages are there until the proxy is dropped.
    pub async fn shut_down(&mut self, within: Duration) {
        self.router.shut_down(Duration::ZERO, within).await;
    }

    /// Drains in a task of its own, which gives the proxy back.
    pub fn draining(mut self, within: Duration) -> JoinHandle<Self> {
        tokio::spawn(async move {
            self.shut_down(within).await;
            self
        })
    }
}
