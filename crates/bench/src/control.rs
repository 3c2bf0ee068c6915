//! Measures the control plane at scale: a real API server with many pods, the controller, and routers, all as
//! processes.
//!
//! The time of a change begins just before it is sent to the API server, whose own time is therefore included, and ends
//! when every router has confirmed the new state. Pods have no kubelet, and their addresses are loopback addresses
//! without a listener.

mod cluster;
mod pods;
mod report;
mod routers;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::time::{Instant, sleep};

use crate::control::cluster::Cluster;
use crate::control::pods::Pods;
use crate::control::report::Figures;
use crate::control::routers::Acks;
use crate::process::{Process, Start, Usage};
use crate::program;
use crate::stats::Sample;

/// The flags of `qoe-bench control`.
#[derive(Debug, clap::Args)]
pub struct ControlArgs {
    /// Cluster sizes to measure, as PODSxROUTERS.
    #[arg(long, default_values_t = [ClusterSize { pods: 1000, routers: 10 }, ClusterSize { pods: 10_000, routers: 3 }])]
    shape: Vec<ClusterSize>,
    /// Number of changes to measure for each size.
    #[arg(long, default_value_t = 100)]
    changes: usize,
    /// Number of pods that change at once, as in a rollout.
    #[arg(long, default_value_t = 100)]
    burst: usize,
    /// Path of qoe-controller; default: beside this program.
    #[arg(long)]
    controller: Option<PathBuf>,
    /// Path of qoe-router; default: beside this program.
    #[arg(long)]
    router: Option<PathBuf>,
    /// Folder of etcd and kube-apiserver; default: the PATH.
    #[arg(long, env = "KUBEBUILDER_ASSETS")]
    assets: Option<PathBuf>,
    /// Fail if a goal is not reached.
    #[arg(long)]
    strict: bool,
}

/// The number of pods and routers.
#[derive(Clone, Copy, Debug)]
struct ClusterSize {
    pods: usize,
    routers: usize,
}

impl std::fmt::Display for ClusterSize {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}x{}", self.pods, self.routers)
    }
}

impl std::str::FromStr for ClusterSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let parsed = text.split_once('x').and_then(|(pods, routers)| {
            Some(Self { pods: pods.parse().ok()?, routers: routers.parse().ok()? })
        });
        parsed
            .filter(|shape| {
                (1..=60_000).contains(&shape.pods) && (1..=100).contains(&shape.routers)
            })
            .ok_or_else(|| "write it as PODSxROUTERS, such as 1000x10".to_owned())
    }
}

/// How long the idle control plane is measured.
const IDLE_FOR: Duration = Duration::from_secs(20);
/// The time for the processes to become idle after everything has started.
const SETTLE: Duration = Duration::from_secs(5);

/// Measures all sizes, and prints the figures and the missed goals.
///
/// # Errors
/// Something did not start, or a change did not arrive. With `--strict`, also a missed goal.
pub async fn run(args: ControlArgs) -> anyhow::Result<()> {
    let mut figures = Vec::new();
    for shape in &args.shape {
        figures.push(measure(&args, *shape).await?);
    }
    println!("\n{}", report::table(&figures));
    let missed = report::missed(&figures);
    for line in &missed {
        println!("goal missed: {line}");
    }
    ensure!(missed.is_empty() || !args.strict, "{} goals were missed", missed.len());
    Ok(())
}

async fn measure(args: &ControlArgs, shape: ClusterSize) -> anyhow::Result<Figures> {
    let ClusterSize { pods: count, routers: number } = shape;
    eprintln!("{count} pods × {number} routers: starting an API server");
    let cluster = Cluster::start(args.assets.as_deref()).await?;
    let pods = Pods::new(cluster.client());
    pods.install_route(&program("qoe-controller", args.controller.as_deref())?).await?;
    pods.create(count, |done| eprint!("\r  {done} of {count} pods")).await?;
    eprintln!("\n  starting the controller and the routers");
    let started = Instant::now();
    let (controller, address) = Start {
        name: "qoe-controller",
        command: words(&[
            &path(&program("qoe-controller", args.controller.as_deref())?),
            "run",
            "--listen",
            "127.0.0.1:0",
            "--admin",
            "127.0.0.1:0",
            "--lease-namespace",
            pods::NAMESPACE,
        ]),
        core: None,
        logs: cluster.logs(),
    }
    .ready_with(&[("KUBECONFIG", &path(&cluster.kubeconfig()))])
    .await?;
    let admin = controller.admin().context("the controller prints its admin address")?;
    let mut routers: Vec<Process> = Vec::new();
    for i in 0..number {
        routers.push(routers::start(i, address, &cluster, args.router.as_deref()).await?);
    }
    let acks = Acks::new(admin, number);
    acks.until(count).await.context("waiting for the first state")?;
    let first = started.elapsed();
    eprintln!(
        "  all routers serve after {:.1} s; measuring idle CPU for {IDLE_FOR:?}",
        first.as_secs_f64()
    );
    sleep(SETTLE).await;
    let before = controller.usage();
    sleep(IDLE_FOR).await;
    let idle = share(before, controller.usage(), IDLE_FOR);

    let (mut leaving, mut coming) = (Vec::new(), Vec::new());
    let (busy_from, busy_since) = (controller.usage(), Instant::now());
    for change in 0..args.changes {
        let ready = change % 2 == 1;
        let pod = (change / 2 * 7919) % count;
        let sent = Instant::now();
        pods.set_ready(pod, ready).await?;
        acks.until(if ready { count } else { count - 1 }).await.context("waiting for a change")?;
        let times = if ready { &mut coming } else { &mut leaving };
        times.push(sent.elapsed().as_secs_f64());
        eprint!("\r  change {} of {}", change + 1, args.changes);
    }
    let busy = share(busy_from, controller.usage(), busy_since.elapsed());
    eprintln!("\n  {} pods change at once", args.burst.min(count));
    let burst = burst(&pods, &acks, count, args.burst.min(count)).await?;
    let usage = controller.usage();
    let snapshot = acks.metric("qoe_controller_snapshots_bytes").await?;
    let router_rss = routers.iter().map(|router| router.usage().rss_bytes).max().unwrap_or(0);
    Ok(Figures {
        shape: shape.to_string(),
        pods: count,
        first: first.as_secs_f64(),
        leaving: Sample::new(leaving),
        coming: Sample::new(coming),
        burst,
        rss: usage.rss_bytes,
        router_rss,
        idle,
        busy,
        snapshot,
    })
}

/// Makes `leave` pods unready as fast as possible. Returns the seconds from the last change until all routers have
/// them.
async fn burst(pods: &Pods, acks: &Acks, count: usize, leave: usize) -> anyhow::Result<f64> {
    pods.leave_at_once(leave).await?;
    let sent = Instant::now();
    acks.until(count - leave).await.context("waiting for a burst of changes")?;
    Ok(sent.elapsed().as_secs_f64())
}

/// The cores used between two readings.
fn share(before: Usage, after: Usage, within: Duration) -> f64 {
    after.cpu.saturating_sub(before.cpu).as_secs_f64() / within.as_secs_f64()
}

fn words(words: &[&str]) -> Vec<String> {
    words.iter().map(|&word| word.to_owned()).collect()
}

fn path(path: &std::path::Path) -> String {
    path.display().to_string()
}
