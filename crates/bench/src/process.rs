//! Child processes: their ready line, their CPU time and memory, and their reliable end.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::Read as _;
use std::net::SocketAddr;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process_group};
use rustix::thread::CpuSet;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, ChildStdout, Command};

mod usage;

pub use usage::{Usage, of_group, of_self};

/// A process and its children, in one process group. Dropping this kills the group.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: Child,
    group: u32,
    admin: Option<SocketAddr>,
}

/// The description of a process to start.
#[derive(Debug)]
pub struct Start<'a> {
    /// The name for messages and for the log file.
    pub name: &'a str,
    /// The program and its arguments.
    pub command: Vec<String>,
    /// The CPU core to run on, if the machine has several.
    pub core: Option<usize>,
    /// The folder of `NAME.log`, which gets stderr, and stdout if no ready line is expected.
    pub logs: &'a Path,
}

impl Start<'_> {
    fn command(&self, log: File) -> Command {
        let pin = self.core.map(|core| ["taskset".into(), "-c".into(), core.to_string()]);
        let mut words = pin.into_iter().flatten().chain(self.command.iter().cloned());
        let mut command = Command::new(words.next().unwrap_or_default());
        command.args(words).stdin(Stdio::null()).stderr(log).process_group(0).kill_on_drop(true);
        command
    }

    fn log(&self) -> anyhow::Result<File> {
        let path = self.logs.join(format!("{}.log", self.name));
        File::create(&path).with_context(|| format!("cannot write {}", path.display()))
    }

    /// Starts the process with its output in the log.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn spawn(self) -> anyhow::Result<Process> {
        let log = self.log()?;
        let stdout = log.try_clone()?;
        let child = self.command(log).stdout(stdout).spawn();
        let child = child.with_context(|| format!("cannot start {:?}", self.command))?;
        Process::of(self.name, child)
    }

    /// Starts the process and waits for its ready line on stdout, `… listening on http://ADDRESS…`.
    ///
    /// # Errors
    /// The process cannot be started, ends early, or is not ready within `READY_WITHIN`.
    pub async fn ready(self) -> anyhow::Result<(Process, SocketAddr)> {
        self.ready_with(&[]).await
    }

    /// Does the same, with these environment variables.
    ///
    /// # Errors
    /// See [`Start::ready`].
    pub async fn ready_with(
        self,
        environment: &[(&str, &str)],
    ) -> anyhow::Result<(Process, SocketAddr)> {
        let mut command = self.command(self.log()?);
        command.envs(environment.iter().copied());
        let child = command.stdout(Stdio::piped()).spawn();
        let mut child = child.with_context(|| format!("cannot start {:?}", self.command))?;
        let stdout = child.stdout.take().context("its stdout is piped")?;
        let mut process = Process::of(self.name, child)?;
        let line = tokio::time::timeout(READY_WITHIN, ready_line(stdout)).await;
        let hint =
            || format!("{} did not become ready: see {}/{0}.log", self.name, self.logs.display());
        let line = line.with_context(hint)?.with_context(hint)?;
        let address = listening_on(&line).with_context(|| format!("{}: `{line}`", self.name))?;
        process.admin = admin_of(&line);
        Ok((process, address))
    }
}

const READY_WITHIN: Duration = Duration::from_secs(20);

async fn ready_line(stdout: ChildStdout) -> anyhow::Result<String> {
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).await?;
    if line.is_empty() {
        bail!("it ended before its ready line");
    }
    Ok(line.trim().to_owned())
}

/// The first `http://ADDRESS` in a ready line.
fn listening_on(line: &str) -> anyhow::Result<SocketAddr> {
    let (_, rest) = line.split_once("listening on http://").context("no `listening on http://`")?;
    let address = rest.split([' ', '/']).next().unwrap_or(rest);
    address.parse().with_context(|| format!("`{address}` is not an address"))
}

/// The `(admin http://ADDRESS)` in a ready line, if present.
fn admin_of(line: &str) -> Option<SocketAddr> {
    line.split_once("(admin http://")?.1.split(')').next()?.parse().ok()
}

impl Process {
    fn of(name: &str, child: Child) -> anyhow::Result<Self> {
        let group = child.id().with_context(|| format!("{name} ended at once"))?;
        Ok(Self { name: name.to_owned(), child, group, admin: None })
    }

    /// The name of the process.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The admin address, if the ready line has one.
    #[must_use]
    pub fn admin(&self) -> Option<SocketAddr> {
        self.admin
    }

    /// The CPU time and memory of the process group.
    #[must_use]
    pub fn usage(&self) -> Usage {
        of_group(self.group)
    }

    /// The exit status, if the process has ended.
    pub fn ended(&mut self) -> Option<String> {
        self.child.try_wait().ok().flatten().map(|status| status.to_string())
    }

    /// Kills the process group and waits for the process.
    pub async fn stop(mut self) {
        self.end_group();
        // The process is killed by its handle too, so that the wait below ends even if the group signal fails.
        let _ = self.child.start_kill();
        // If waiting fails, there is nothing left to do about the child.
        let _ = self.child.wait().await;
    }

    /// Sends SIGKILL to the process group.
    fn end_group(&self) {
        let group = i32::try_from(self.group).ok().and_then(Pid::from_raw);
        // The only possible error is that the group has ended already.
        let _ = group.map(|group| kill_process_group(group, Signal::KILL));
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // Once its leader was waited for, the group id may belong to another process group.
        if self.child.id().is_some() {
            self.end_group();
        }
    }
}

/// The last non-empty line of `NAME.log`, which usually tells why a process ended.
#[must_use]
pub fn last_words(logs: &Path, name: &str) -> Option<String> {
    let mut text = String::new();
    let log = fs::File::open(logs.join(format!("{name}.log"))).ok()?;
    log.take(1 << 20).read_to_string(&mut text).ok()?;
    text.lines().rev().map(str::trim).find(|line| !line.is_empty()).map(str::to_owned)
}

/// The CPU cores that this process may use, ascending. Empty if the system does not report them.
#[must_use]
pub fn allowed_cores() -> Vec<usize> {
    let allowed = rustix::thread::sched_getaffinity(None);
    allowed.map_or_else(
        |_| Vec::new(),
        |set| (0..CpuSet::MAX_CPU).filter(|core| set.is_set(*core)).collect(),
    )
}

/// Pins this process and its later children to one core. Returns `false` if that is not possible.
#[must_use]
pub fn pin_self(core: usize) -> bool {
    let (core, pid) = (core.to_string(), std::process::id().to_string());
    let taskset = ["-a", "-c", "-p", &core, &pid].map(OsStr::new);
    let mut command = std::process::Command::new("taskset");
    command.args(taskset).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ready_line_names_the_first_address() {
        let line = "qoe-router listening on http://127.0.0.1:8080 (admin http://127.0.0.1:9090)";
        assert_eq!(listening_on(line).unwrap(), "127.0.0.1:8080".parse().unwrap());
        assert_eq!(admin_of(line), "127.0.0.1:9090".parse().ok());
        assert_eq!(admin_of("qoe-sim listening on http://127.0.0.1:8080"), None);
        assert!(listening_on("qoe-sim listens").is_err());
        assert!(listening_on("listening on http://nowhere").is_err());
    }

    #[test]
    fn the_allowed_cores_are_as_many_as_the_system_offers() {
        let cores = allowed_cores();
        // A CPU quota may offer less than the set allows.
        let offered = std::thread::available_parallelism().unwrap().get();
        assert!(cores.len() >= offered && cores.is_sorted(), "{cores:?}, {offered} offered");
    }

    #[tokio::test]
    async fn a_process_is_measured_and_ended_with_its_children() {
        let logs = std::env::temp_dir().join(format!("qoe-bench-test-{}", std::process::id()));
        fs::create_dir_all(&logs).unwrap();
        let script = "sleep 600 & echo it listening on http://127.0.0.1:1; wait";
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let start = Start { name: "nap", command, core: None, logs: &logs };
        let (process, address) = start.ready().await.unwrap();
        assert_eq!(address.port(), 1);
        let group = process.group;
        assert!(process.usage().processes >= 2 && process.usage().rss_bytes > 0);
        process.stop().await;
        // The leader is waited for; its child was killed with it, and is gone in a moment.
        let gone = async {
            while of_group(group).rss_bytes > 0 {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), gone).await.unwrap();
        fs::remove_dir_all(&logs).unwrap();
    }
}
