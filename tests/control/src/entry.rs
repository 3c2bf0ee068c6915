//! A router in this process, fed by controllers.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use qoe_router::Router;
use qoe_router::args::Serve;
use qoe_tests::bodies::{CHAT, chat};
use qoe_tests::client::{Answer, post};
use serde_json::Value;

use crate::pages::Pages;

/// Looks at endpoints are frequent, since tests wait for them.
const SCRAPE_INTERVAL_MS: u64 = 200;

/// How a router is to run.
#[derive(Debug, Default)]
pub struct Setup {
    state: Option<PathBuf>,
    tls: Option<PathBuf>,
}

/// A running router; dropped, it is gone.
pub struct Entry {
    router: Router,
    /// Its name to controllers.
    pub name: String,
}

/// A router that listens to the controllers at `address`.
///
/// # Panics
/// It does not start.
#[must_use]
pub fn router(address: SocketAddr) -> Entry {
    Setup::default().start(address)
}

impl Setup {
    /// Keeps routes in a folder.
    #[must_use]
    pub fn state(mut self, folder: &Path) -> Self {
        self.state = Some(folder.to_owned());
        self
    }

    /// With certificates.
    #[must_use]
    pub fn tls(mut self, folder: &Path) -> Self {
        self.tls = Some(folder.to_owned());
        self
    }

    /// Starts the router, for the controllers at `address`.
    ///
    /// # Panics
    /// It does not start.
    #[must_use]
    pub fn start(self, address: SocketAddr) -> Entry {
        static STARTED: AtomicUsize = AtomicUsize::new(0);
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let name = format!("router-{}", STARTED.fetch_add(1, Ordering::Relaxed));
        let scheme = if self.tls.is_some() { "https" } else { "http" };
        let serve = Serve {
            config: None,
            controller: Some(format!("{scheme}://{address}")),
            controller_tls_dir: self.tls,
            state_dir: self.state,
            router_id: Some(name.clone()),
            listen: any,
            admin: any,
            workers: Some(1),
            scrape_interval_ms: SCRAPE_INTERVAL_MS,
            body_memory_mib: 64,
            drain_delay_seconds: 0,
            drain_seconds: 1,
            client_idle_seconds: 75,
        };
        let router = Router::start(&serve).unwrap_or_else(|error| panic!("{error:#}"));
        Entry { router, name }
    }
}

impl Entry {
    /// Its admin pages.
    #[must_use]
    pub fn pages(&self) -> Pages {
        Pages(self.router.admin_address())
    }

    /// The names of the routes it serves, with their namespaces.
    pub async fn routes(&self) -> Vec<String> {
        let page = self.pages().json("/config_dump").await;
        let routes = page["routes"].as_array().cloned().unwrap_or_default();
        let mut names: Vec<_> = routes.iter().map(|route| text(&route["name"])).collect();
        names.sort();
        names
    }

    /// A route as it is served.
    pub async fn route(&self, route: &str) -> Option<Value> {
        let page = self.pages().json("/config_dump").await;
        let routes = page["routes"].as_array().cloned().unwrap_or_default();
        // Tests give each of their routes a name of its own.
        routes.into_iter().find(|found| text(&found["name"]).rsplit('/').next() == Some(route))
    }

    /// The endpoints of a route by their pods' names; `None` where the route is not served.
    pub async fn endpoints(&self, route: &str) -> Option<BTreeMap<String, Value>> {
        let route = self.route(route).await?;
        let of = |endpoint: &Value| {
            let name = text(&endpoint["name"]);
            (name.rsplit('/').next().unwrap_or("").to_owned(), endpoint.clone())
        };
        Some(route["endpoints"].as_array().into_iter().flatten().map(of).collect())
    }

    /// The pods behind a route, with commas; `None` where the route is not served.
    pub async fn pods(&self, route: &str) -> Option<String> {
        let endpoints = self.endpoints(route).await?;
        Some(endpoints.into_keys().collect::<Vec<_>>().join(","))
    }

    /// Asks it for a few tokens.
    pub async fn ask(&self) -> Answer {
        post(self.router.address(), CHAT, &chat(40, 5)).await
    }

    /// Asks it, and tells the answer's status and its plan: `200 handoff`.
    pub async fn asked(&self) -> String {
        let answer = self.ask().await;
        let told = format!("{} {}", answer.status.as_u16(), answer.header("x-qoe-plan"));
        answer.whole().await;
        told
    }

    /// Where clients connect.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.router.address()
    }

    /// Ends it.
    pub async fn shut_down(mut self) {
        self.router.shut_down(Duration::ZERO, Duration::from_secs(1)).await;
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
