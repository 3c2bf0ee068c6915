//! The measured routers: qoe-router in two modes, and the installed peers.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, bail};
use tokio::time::{Instant, sleep};

use crate::process::{self, Process, Start, Usage};
use crate::relay::kind::RouterKind;
use crate::relay::load;
use crate::relay::plans::Plans;

/// A running router.
#[derive(Debug)]
pub struct System {
    /// The kind of router.
    pub kind: RouterKind,
    /// The address of the router.
    pub address: SocketAddr,
    process: Option<Process>,
}

impl System {
    /// The stand-in backend alone.
    #[must_use]
    pub const fn direct(address: SocketAddr) -> Self {
        Self { kind: RouterKind::Direct, address, process: None }
    }

    /// The resource usage of its processes.
    #[must_use]
    pub fn usage(&self) -> Usage {
        self.process.as_ref().map(Process::usage).unwrap_or_default()
    }

    /// Reads its plan counts.
    ///
    /// # Errors
    /// It has no admin address, or does not answer there.
    pub async fn plans(&self) -> anyhow::Result<Plans> {
        let admin = self.process.as_ref().and_then(Process::admin);
        Plans::read(admin.context("it has no admin address")?).await
    }

    /// Ends the processes of the router.
    pub async fn stop(self) {
        if let Some(process) = self.process {
            process.stop().await;
        }
    }
}

/// The folders, cores and backends that all routers share.
#[derive(Clone, Copy, Debug)]
pub struct Bench<'a> {
    /// Four stand-ins: two prefill and two decoding ones, or four mixed ones without handoff.
    pub backends: &'a [SocketAddr],
    /// The core that routers run on.
    pub core: Option<usize>,
    /// Folder of configuration and logs.
    pub folder: &'a Path,
    /// Folder of the peers' start scripts.
    pub peers: &'a Path,
}

/// The time for a peer to become ready. Its script may install it first, which takes minutes.
const PEER_READY_WITHIN: Duration = Duration::from_secs(180);

impl Bench<'_> {
    /// Starts qoe-router with or without handoff.
    ///
    /// # Errors
    /// It does not become ready, or does not answer.
    pub async fn ours(&self, router: &Path, kind: RouterKind) -> anyhow::Result<System> {
        let name = kind.name().to_owned();
        let config = self.folder.join(format!("{name}.yaml"));
        std::fs::write(&config, self.configuration(kind == RouterKind::Handoff))?;
        let flags =
            ["--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--workers", "1", "--config"];
        let mut command = vec![router.to_string_lossy().into_owned()];
        command.extend(flags.map(str::to_owned));
        command.push(config.to_string_lossy().into_owned());
        let start = Start { name: &name, command, core: self.core, logs: self.folder };
        let (process, address) = start.ready().await?;
        self.answering(System { kind, address, process: Some(process) }).await
    }

    /// Starts a peer by its script.
    ///
    /// # Errors
    /// The reason why it cannot be measured.
    pub async fn peer(&self, kind: RouterKind) -> anyhow::Result<System> {
        let script = self.peers.join(format!("{}.sh", kind.name()));
        if !script.is_file() {
            bail!("{} is missing", script.display());
        }
        let mut command = vec![script.to_string_lossy().into_owned(), "{port}".into()];
        match kind {
            RouterKind::VllmRouterPd => {
                command.extend(["{prefill}", "--", "{decoding}"].map(str::to_owned))
            }
            _ => command.push("{backends}".into()),
        }
        self.command(kind, &command).await
    }

    /// Starts a router by a command, with `{port}`, `{backends}`, `{prefill}` and `{decoding}` filled in.
    ///
    /// # Errors
    /// The reason why it cannot be measured.
    pub async fn command(&self, kind: RouterKind, words: &[String]) -> anyhow::Result<System> {
        let port = free_port()?;
        let name = kind.name().to_owned();
        let command = self.fill(words, port);
        let process = Start { name: &name, command, core: self.core, logs: self.folder }.spawn()?;
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        self.answering(System { kind, address, process: Some(process) }).await
    }

    fn fill(&self, words: &[String], port: u16) -> Vec<String> {
        let url = |address: &SocketAddr| format!("http://{address}");
        let (prefill, decoding) = self.backends.split_at(self.backends.len() / 2);
        words
            .iter()
            .flat_map(|word| match word.as_str() {
                "{backends}" => self.backends.iter().map(url).collect(),
                "{prefill}" => prefill.iter().map(url).collect(),
                "{decoding}" => decoding.iter().map(url).collect(),
                word => vec![word.replace("{port}", &port.to_string())],
            })
            .collect()
    }

    /// Waits until the system answers.
    async fn answering(&self, mut system: System) -> anyhow::Result<System> {
        let end = Instant::now() + PEER_READY_WITHIN;
        while !load::check::answers(system.address).await {
            if let Some(status) = system.process.as_mut().and_then(Process::ended) {
                let words = process::last_words(self.folder, system.kind.name());
                bail!("it ended ({status}): {}", words.unwrap_or_default());
            }
            if Instant::now() > end {
                bail!("no answer within {} s", PEER_READY_WITHIN.as_secs());
            }
            sleep(Duration::from_millis(100)).await;
        }
        Ok(system)
    }

    fn configuration(&self, handoff: bool) -> String {
        let mode = if handoff { "Always" } else { "Never" };
        let half = self.backends.len() / 2;
        let endpoints: String = self
            .backends
            .iter()
            .enumerate()
            .map(|(index, address)| {
                let tag = match (handoff, index < half) {
                    (false, _) => "",
                    (true, true) => ", tags: [prefill]",
                    (true, false) => ", tags: [decoding]",
                };
                format!("- {{name: e{index}, url: \"http://{address}\"{tag}, models: [tiny]}}\n")
            })
            .collect();
        format!(
            "apiVersion: qoe-router.io/v1alpha1\nkind: QoERoute\nmetadata: {{name: bench}}\nspec:\n  \
             models: [tiny]\n  handoff: {{mode: {mode}}}\n---\n\
             apiVersion: qoe-router.io/v1alpha1\nkind: EndpointList\nendpoints:\n{endpoints}"
        )
    }
}

/// A port that was free a moment ago. Peers cannot report the port that they got, so they are given one.
fn free_port() -> anyhow::Result<u16> {
    let socket = TcpListener::bind("127.0.0.1:0").context("no free port")?;
    Ok(socket.local_addr()?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_and_configuration_name_the_right_backends() {
        let backends = [1, 2, 3, 4].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let bench = Bench {
            backends: &backends,
            core: None,
            folder: Path::new("."),
            peers: Path::new("."),
        };
        let words = ["run", "--port={port}", "{prefill}", "--", "{decoding}"].map(str::to_owned);
        let url = |port| format!("http://127.0.0.1:{port}");
        let expected =
            ["run".into(), "--port=9".into(), url(1), url(2), "--".into(), url(3), url(4)].to_vec();
        assert_eq!(bench.fill(&words, 9), expected);
        let (local, handoff) = (bench.configuration(false), bench.configuration(true));
        assert!(!local.contains("tags") && local.contains("mode: Never"));
        assert!(handoff.contains("e1, url: \"http://127.0.0.1:2\", tags: [prefill]"), "{handoff}");
        assert!(handoff.contains("e2, url: \"http://127.0.0.1:3\", tags: [decoding]"), "{handoff}");
    }
}
