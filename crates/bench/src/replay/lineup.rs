//! The servers of a replay: simulators in real time, and a router in front of them that applies a policy of the lab.

use std::fmt::Write as _;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use qoe_core::phase::Role;
use qoe_core::plan::policy::Policy;
use qoe_core::plan::scope::{HandoffMode, HandoffRule};
use tokio::time::{Instant, sleep, timeout};

use crate::client::head::Head;
use crate::client::{Client, Sink};
use crate::lab::contestants::Contestant;
use crate::lab::shape::Shape;
use crate::process::{self, Process, Start, Usage};

/// The model's name.
pub(super) const MODEL: &str = "lab";
/// The time for a peer to become ready. Its script may install it first, which takes minutes.
const PEER_READY_WITHIN: Duration = Duration::from_secs(180);
const ASKED_FOR: Duration = Duration::from_secs(5);

/// The router that chooses endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Who {
    /// `qoe-router`.
    Ours,
    /// `vllm-router`, which hands off every request, round-robin.
    VllmRouter,
}

impl Who {
    /// The name in tables and files.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Ours => "qoe-router",
            Self::VllmRouter => "vllm-router",
        }
    }
}

/// The programs and folders of a replay.
#[derive(Clone, Copy, Debug)]
pub(super) struct ReplaySetup<'a> {
    /// `qoe-router`.
    pub(super) router: &'a Path,
    /// `qoe-sim`.
    pub(super) sim: &'a Path,
    /// Folder of the peers' start scripts.
    pub(super) peers: &'a Path,
    /// Folder of configuration and logs.
    pub(super) folder: &'a Path,
    /// The factor by which the simulated GPUs are slower than their profile.
    pub(super) slower: f64,
}

/// The running servers. Dropping this ends them.
#[derive(Debug)]
pub(super) struct ReplayCluster {
    /// The address of the router.
    pub(super) address: SocketAddr,
    router: Process,
    sims: Vec<(Process, SocketAddr)>,
}

impl ReplayCluster {
    /// Starts the simulators of `shape`, then the router in front of them.
    ///
    /// # Errors
    /// The reason why one of them does not become ready. Those that did are ended.
    pub(super) async fn start(
        parts: &ReplaySetup<'_>,
        who: Who,
        contestant: &Contestant,
        shape: &Shape,
    ) -> anyhow::Result<Self> {
        let mut sims = Vec::new();
        for (index, node) in shape.nodes.iter().enumerate() {
            sims.push(start_sim(parts, index, node.role, node.profile.name).await?);
        }
        let endpoints: Vec<_> =
            shape.nodes.iter().zip(&sims).map(|(node, (_, at))| (node.role, *at)).collect();
        let (router, address) = match who {
            Who::Ours => start_ours(parts, contestant, &endpoints).await?,
            Who::VllmRouter => start_peer(parts, &endpoints).await?,
        };
        Ok(Self { address, router, sims })
    }

    /// The resource usage of all simulators together, and of the router.
    #[must_use]
    pub(super) fn usage(&self) -> (Usage, Usage) {
        let each = self.sims.iter().map(|(sim, _)| sim.usage());
        let sims = each.fold(Usage::default(), |sum, usage| Usage {
            cpu: sum.cpu + usage.cpu,
            rss_bytes: sum.rss_bytes + usage.rss_bytes,
            processes: sum.processes + usage.processes,
        });
        (sims, self.router.usage())
    }

    /// The number of prompt tokens that the simulators computed, from their metrics.
    ///
    /// # Errors
    /// The metrics of a simulator cannot be read.
    pub(super) async fn computed_tokens(&self) -> anyhow::Result<f64> {
        let mut sum = 0.0;
        for (_, address) in &self.sims {
            sum += computed(&page(*address).await?).context("no count of computed tokens")?;
        }
        Ok(sum)
    }

    /// Ends all servers, the router first, so that it does not log failing endpoints.
    pub(super) async fn stop(self) {
        self.router.stop().await;
        for (sim, _) in self.sims {
            sim.stop().await;
        }
    }
}

async fn start_sim(
    parts: &ReplaySetup<'_>,
    index: usize,
    role: Role,
    profile: &str,
) -> anyhow::Result<(Process, SocketAddr)> {
    let (speed, name) = ((1.0 / parts.slower).to_string(), format!("sim-{index}"));
    let role = if role == Role::Mixed { "both" } else { role.as_str() };
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--role",
        role,
        "--model",
        MODEL,
        "--profile",
        profile,
        "--speed",
        &speed,
    ];
    start(parts.sim, &name, &flags, parts.folder).await
}

async fn start_ours(
    parts: &ReplaySetup<'_>,
    contestant: &Contestant,
    endpoints: &[(Role, SocketAddr)],
) -> anyhow::Result<(Process, SocketAddr)> {
    let config = parts.folder.join("router.yaml");
    std::fs::write(&config, configuration(contestant, endpoints))
        .with_context(|| format!("cannot write {}", config.display()))?;
    let config = config.to_string_lossy();
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--workers",
        "1",
        "--config",
        &config,
    ];
    start(parts.router, Who::Ours.name(), &flags, parts.folder).await
}

async fn start(
    program: &Path,
    name: &str,
    flags: &[&str],
    logs: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let program = program.to_string_lossy().into_owned();
    let flags = flags.iter().map(|&flag| flag.to_owned());
    let command = std::iter::once(program).chain(flags).collect();
    Start { name, command, core: None, logs }.ready().await
}

async fn start_peer(
    parts: &ReplaySetup<'_>,
    endpoints: &[(Role, SocketAddr)],
) -> anyhow::Result<(Process, SocketAddr)> {
    let script = parts.peers.join("vllm-router-pd.sh");
    if !script.is_file() {
        bail!("{} is missing", script.display());
    }
    let urls = |role| {
        let of_role = endpoints.iter().filter(move |(other, _)| *other == role);
        of_role.map(|(_, address)| format!("http://{address}"))
    };
    // The peer cannot report the port that it got, so it is given one that was free a moment ago.
    let port = TcpListener::bind("127.0.0.1:0").context("no free port")?.local_addr()?.port();
    let mut command = vec![script.to_string_lossy().into_owned(), port.to_string()];
    command.extend(urls(Role::Prefill).chain(["--".to_owned()]).chain(urls(Role::Decoding)));
    let name = Who::VllmRouter.name();
    let mut process = Start { name, command, core: None, logs: parts.folder }.spawn()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    let end = Instant::now() + PEER_READY_WITHIN;
    while !answers(address).await {
        if let Some(status) = process.ended() {
            let words = process::last_words(parts.folder, name).unwrap_or_default();
            bail!("{name} ended ({status}): {words}");
        }
        if Instant::now() > end {
            bail!("{name} did not answer within {} s", PEER_READY_WITHIN.as_secs());
        }
        sleep(Duration::from_millis(100)).await;
    }
    Ok((process, address))
}

/// The router's configuration file.
fn configuration(contestant: &Contestant, endpoints: &[(Role, SocketAddr)]) -> String {
    let rules = contestant.rules;
    let HandoffRule { mode, min_prompt_tokens } = rules.handoff;
    let mode = match mode {
        HandoffMode::Auto => format!("{{mode: Auto, minPromptTokens: {min_prompt_tokens}}}"),
        HandoffMode::Always => "{mode: Always}".to_owned(),
        HandoffMode::Never => "{mode: Never}".to_owned(),
    };
    let policy = policy(&rules.policy);
    let limits = match rules.policy {
        Policy::Predictive(_) => format!("  limits: {{maxQueued: {}}}\n", rules.queue),
        _ => String::new(),
    };
    let mut yaml = format!(
        "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {{name: lab}}\nspec:\n  \
         models: [{MODEL}]\n  policy: {policy}\n  handoff: {mode}\n{limits}---\n\
         apiVersion: qoe-router.io/v1alpha1\nkind: EndpointList\nendpoints:\n"
    );
    for (index, (role, address)) in endpoints.iter().enumerate() {
        let tag = match role {
            Role::Mixed => String::new(),
            role => format!(", tags: [{}]", role.as_str()),
        };
        // Writing to a string cannot fail.
        let _ = writeln!(
            yaml,
            "- {{name: e{index}, url: \"http://{address}\"{tag}, models: [{MODEL}]}}"
        );
    }
    yaml
}

fn policy(policy: &Policy) -> String {
    let kind = policy.as_str();
    match policy {
        Policy::Predictive(rules) => {
            let cross = rules.cross_phase;
            format!("{{type: {kind}, predictive: {{crossPhase: {cross}}}}}")
        }
        Policy::Endpoint(_) => format!("{{type: {kind}}}"),
    }
}

#[derive(Default)]
struct Page {
    status: u16,
    body: Vec<u8>,
}

impl Sink for Page {
    fn head(&mut self, head: &Head<'_>) {
        self.status = head.status;
    }

    fn data(&mut self, bytes: &[u8]) {
        self.body.extend_from_slice(bytes);
    }
}

async fn get(address: SocketAddr, path: &str) -> anyhow::Result<Page> {
    let request = format!("GET {path} HTTP/1.1\r\nhost: qoe-bench\r\n\r\n");
    let (mut client, mut page) = (Client::new(address), Page::default());
    let sent = timeout(ASKED_FOR, client.send(request.as_bytes(), &mut page)).await;
    sent.with_context(|| format!("{path} timed out"))??;
    Ok(page)
}

async fn page(address: SocketAddr) -> anyhow::Result<String> {
    Ok(String::from_utf8_lossy(&get(address, "/metrics").await?.body).into_owned())
}

async fn answers(address: SocketAddr) -> bool {
    get(address, "/health").await.is_ok_and(|page| page.status == 200)
}

fn computed(page: &str) -> Option<f64> {
    let is = |line: &&str| {
        line.starts_with("vllm:prompt_tokens_by_source_total{") && line.contains("local_compute")
    };
    page.lines().find(is)?.rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::contestants::contestants;

    #[test]
    fn a_router_is_told_the_rules_of_the_lab() {
        let endpoints = [(Role::Prefill, 1), (Role::Decoding, 2), (Role::Mixed, 3)]
            .map(|(role, port)| (role, SocketAddr::from(([127, 0, 0, 1], port))));
        let of = |label: &str| {
            let contestant = contestants().into_iter().find(|c| c.label == label);
            configuration(&contestant.expect("a standing one"), &endpoints)
        };
        let parted = of("P/D, least-request");
        for part in [
            "type: LeastRequest",
            "mode: Always",
            "http://127.0.0.1:1\", tags: [prefill]",
            "http://127.0.0.1:2\", tags: [decoding]",
            "http://127.0.0.1:3\", models",
        ] {
            assert!(parted.contains(part), "{part}: {parted}");
        }
        let ours = of("Predictive");
        assert!(ours.contains("crossPhase: true") && ours.contains("maxQueued: 2048"), "{ours}");
        assert!(of("mixed, round-robin").contains("mode: Never"));
    }

    #[test]
    fn computed_tokens_are_read_from_a_page() {
        let page = "# TYPE vllm:prompt_tokens_by_source_total counter\n\
             vllm:prompt_tokens_by_source_total{engine=\"0\",model_name=\"m\",source=\"local_compute\"} 1234.0\n\
             vllm:prompt_tokens_by_source_total{engine=\"0\",model_name=\"m\",source=\"local_cache_hit\"} 9.0\n";
        assert_eq!(computed(page), Some(1234.0));
        assert_eq!(computed("vllm:other 1.0"), None);
    }
}
