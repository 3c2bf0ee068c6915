//! Routers as processes, and the wait until all of them serve the latest state.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use serde_json::Value;
use tokio::time::{Instant, sleep};

use crate::client::head::Head;
use crate::client::{Client, Sink};
use crate::control::cluster::Cluster;
use crate::process::{Process, Start};
use crate::program;

/// The time within which routers must have the latest state. Far above every measured time.
const WITHIN: Duration = Duration::from_secs(120);
/// The time between two polls of the controller, well below the measured times.
const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Starts a router that scrapes as rarely as possible, since nothing listens at the endpoints.
pub(super) async fn start(
    number: usize,
    controller: SocketAddr,
    cluster: &Cluster,
    given: Option<&Path>,
) -> anyhow::Result<Process> {
    let name = format!("qoe-router-{number}");
    let any = "127.0.0.1:0";
    let program = program("qoe-router", given)?.display().to_string();
    let controller = format!("http://{controller}");
    let words = [
        &*program,
        "--controller",
        &controller,
        "--router-id",
        &name,
        "--workers",
        "1",
        "--listen",
        any,
        "--admin",
        any,
        "--scrape-interval-ms",
        "60000",
    ];
    let command = words.map(str::to_owned).to_vec();
    let start = Start { name: &name, command, core: None, logs: cluster.logs() };
    start.ready().await.map(|(process, _)| process)
}

/// Reads from the controller which state each router has confirmed.
pub(super) struct Acks {
    admin: SocketAddr,
    routers: usize,
}

impl Acks {
    pub(super) const fn new(admin: SocketAddr, routers: usize) -> Self {
        Self { admin, routers }
    }

    /// Waits until the route has this number of endpoints and all routers have confirmed that state.
    pub(super) async fn until(&self, endpoints: usize) -> anyhow::Result<()> {
        let deadline = Instant::now() + WITHIN;
        loop {
            if self.reached(endpoints).await? {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("not all routers had {endpoints} endpoints within {WITHIN:?}");
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn reached(&self, endpoints: usize) -> anyhow::Result<bool> {
        let page: Value = serde_json::from_slice(&self.page("/debug/routers").await?)?;
        let route = &page["routes"][super::pods::ROUTE];
        let have =
            |router: &&Value| router["answers"][super::pods::ROUTE]["nonce"] == route["nonce"];
        let programmed =
            page["routers"].as_array().map_or(0, |all| all.iter().filter(have).count());
        Ok(route["endpoints"] == endpoints && programmed == self.routers)
    }

    /// Reads one sample of the controller's metrics.
    pub(super) async fn metric(&self, name: &str) -> anyhow::Result<f64> {
        let page = self.page("/metrics").await?;
        let page = String::from_utf8_lossy(&page);
        let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok()).with_context(|| format!("no metric {name}"))
    }

    async fn page(&self, path: &str) -> anyhow::Result<Vec<u8>> {
        let request = format!("GET {path} HTTP/1.1\r\nhost: controller\r\n\r\n");
        let mut page = BodySink::default();
        Client::new(self.admin).send(request.as_bytes(), &mut page).await?;
        Ok(page.0)
    }
}

#[derive(Default)]
struct BodySink(Vec<u8>);

impl Sink for BodySink {
    fn head(&mut self, _: &Head<'_>) {}

    fn data(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }
}
