//! The servers of the demo: four simulators and a router in front of them, on free loopback ports.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::Path;

use anyhow::Context;

use crate::process::{Process, Start, Usage};

/// The policy that disaggregated serving is compared with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Baseline {
    /// Each request goes to the next endpoint in turn.
    #[default]
    RoundRobin,
    /// Each request goes to the endpoint with the fewest requests in flight.
    LeastRequest,
}

/// How the four simulated GPUs are used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    /// Four mixed endpoints under this policy, without handoff.
    Mixed(Baseline),
    /// Two prefill and two decoding endpoints, with handoff.
    Disaggregated,
}

impl Variant {
    /// The name in file names and process names.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Mixed(Baseline::RoundRobin) => "round-robin",
            Self::Mixed(Baseline::LeastRequest) => "least-request",
            Self::Disaggregated => "disaggregated",
        }
    }

    /// The name in the head of a table.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::Mixed(Baseline::RoundRobin) => "mixed, round-robin",
            Self::Mixed(Baseline::LeastRequest) => "mixed, least-request",
            Self::Disaggregated => "disaggregated",
        }
    }

    /// A description of everything that is specific to this variant.
    #[must_use]
    pub const fn describe(self) -> &'static str {
        match self {
            Self::Mixed(Baseline::RoundRobin) => "RoundRobin over four mixed servers, no handoff",
            Self::Mixed(Baseline::LeastRequest) => {
                "LeastRequest over four mixed servers, no handoff"
            }
            Self::Disaggregated => {
                "LeastRequest over two prefill and two decoding servers, with handoff (Auto: prompts of 512 \
                 tokens or more)"
            }
        }
    }

    const fn roles(self) -> [&'static str; 4] {
        match self {
            Self::Mixed(_) => ["both"; 4],
            Self::Disaggregated => ["prefill", "prefill", "decoding", "decoding"],
        }
    }

    const fn policy(self) -> &'static str {
        match self {
            Self::Mixed(Baseline::RoundRobin) => {
                "policy: {type: RoundRobin}\n  handoff: {mode: Never}"
            }
            Self::Mixed(Baseline::LeastRequest) => {
                "policy: {type: LeastRequest}\n  handoff: {mode: Never}"
            }
            // These are written out because the description above must stay true if the defaults change.
            Self::Disaggregated => {
                "policy: {type: LeastRequest}\n  handoff: {mode: Auto, minPromptTokens: 512}"
            }
        }
    }
}

/// The programs and names of the demo.
#[derive(Clone, Debug)]
pub struct DemoSetup<'a> {
    /// `qoe-router`.
    pub router: &'a Path,
    /// `qoe-sim`.
    pub sim: &'a Path,
    /// The profile of the simulated GPU.
    pub profile: &'a str,
    /// The model's name.
    pub model: &'a str,
    /// The folder for configuration and logs.
    pub folder: &'a Path,
}

/// The running servers. Dropping this ends them.
#[derive(Debug)]
pub struct DemoCluster {
    /// The address of the router.
    pub router: SocketAddr,
    processes: Vec<Process>,
}

impl DemoCluster {
    /// Starts four simulators, then the router before them.
    ///
    /// # Errors
    /// One of them does not become ready. Those that did are ended.
    pub async fn start(parts: &DemoSetup<'_>, variant: Variant) -> anyhow::Result<Self> {
        let mut processes = Vec::new();
        let mut endpoints = Vec::new();
        for (index, role) in variant.roles().into_iter().enumerate() {
            let name = format!("{}-{role}-{index}", variant.name());
            let (process, address) = start_sim(parts, &name, role).await?;
            processes.push(process);
            endpoints.push((name, role, address));
        }
        let config = parts.folder.join(format!("{}.yaml", variant.name()));
        std::fs::write(&config, configuration(variant, parts.model, &endpoints))
            .with_context(|| format!("cannot write {}", config.display()))?;
        let (process, router) = start_router(parts, variant, &config).await?;
        processes.push(process);
        Ok(Self { router, processes })
    }

    /// The resource usage of all simulators together, and of the router.
    #[must_use]
    pub fn usage(&self) -> (Usage, Usage) {
        let Some((router, sims)) = self.processes.split_last() else { return Default::default() };
        let sims = sims.iter().map(Process::usage).fold(Usage::default(), |sum, usage| Usage {
            cpu: sum.cpu + usage.cpu,
            rss_bytes: sum.rss_bytes + usage.rss_bytes,
            processes: sum.processes + usage.processes,
        });
        (sims, router.usage())
    }

    /// Ends all servers.
    pub async fn stop(self) {
        // The router ends first, so that it does not log failing endpoints.
        for process in self.processes.into_iter().rev() {
            process.stop().await;
        }
    }
}

async fn start_sim(
    parts: &DemoSetup<'_>,
    name: &str,
    role: &str,
) -> anyhow::Result<(Process, SocketAddr)> {
    let flags = [
        "--listen",
        "127.0.0.1:0",
        "--role",
        role,
        "--model",
        parts.model,
        "--profile",
        parts.profile,
    ];
    start(parts.sim, name, &flags, parts.folder).await
}

async fn start_router(
    parts: &DemoSetup<'_>,
    variant: Variant,
    config: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let config = config.to_string_lossy();
    let flags = [
        "--config",
        &config,
        "--listen",
        "127.0.0.1:0",
        "--admin",
        "127.0.0.1:0",
        "--workers",
        "1",
    ];
    start(parts.router, &format!("{}-router", variant.name()), &flags, parts.folder).await
}

async fn start(
    program: &Path,
    name: &str,
    flags: &[&str],
    logs: &Path,
) -> anyhow::Result<(Process, SocketAddr)> {
    let program = program.to_string_lossy().into_owned();
    let command =
        std::iter::once(program).chain(flags.iter().map(|&flag| flag.to_owned())).collect();
    Start { name, command, core: None, logs }.ready().await
}

/// The router's configuration file for these servers.
fn configuration(
    variant: Variant,
    model: &str,
    endpoints: &[(String, &str, SocketAddr)],
) -> String {
    let mut yaml = format!(
        "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {{name: demo}}\nspec:\n  \
         models: [{model}]\n  {}\n  slo: {{ttftMilliseconds: 500, itlMilliseconds: 50}}\n---\n\
         apiVersion: qoe-router.io/v1alpha1\nkind: EndpointList\nendpoints:\n",
        variant.policy()
    );
    for (name, role, address) in endpoints {
        let tag = if *role == "both" { String::new() } else { format!(", tags: [{role}]") };
        // Writing to a string cannot fail.
        let _ =
            writeln!(yaml, "- {{name: {name}, url: \"http://{address}\"{tag}, models: [{model}]}}");
    }
    yaml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_line_ups_have_four_endpoints_and_differ_in_roles_and_policy() {
        let endpoint = |role| ("e".to_owned(), role, SocketAddr::from(([127, 0, 0, 1], 1)));
        let mixed = Variant::Mixed(Baseline::RoundRobin);
        let mixed = configuration(mixed, "m", &mixed.roles().map(endpoint));
        assert_eq!(mixed.matches("\n- {name").count(), 4);
        assert!(
            mixed.contains("RoundRobin")
                && mixed.contains("mode: Never")
                && !mixed.contains("tags")
        );
        let split = Variant::Disaggregated;
        let split = configuration(split, "m", &split.roles().map(endpoint));
        assert_eq!(split.matches("tags: [prefill]").count(), 2);
        assert_eq!(split.matches("tags: [decoding]").count(), 2);
        assert!(split.contains("LeastRequest") && split.contains("Auto, minPromptTokens: 512"));
        let least = Variant::Mixed(Baseline::LeastRequest);
        let least = configuration(least, "m", &least.roles().map(endpoint));
        assert!(least.contains("LeastRequest") && least.contains("mode: Never"), "{least}");
    }
}
