//! Measures the cost of relaying: qoe-router and its peers in one run, with the same stand-in backends.
//!
//! Routers stay on one core, load and backends on another, so that neither takes the other's time. Rounds are
//! interleaved (A B C, A B C), because a machine that is busy for a while would else be one router's fault.

mod goals;
pub mod kind;
mod load;
mod plans;
mod report;
mod results;
mod systems;
mod workload;

use std::path::PathBuf;
use std::time::Duration;

pub use crate::relay::kind::RouterKind;
use anyhow::{Context, ensure};
pub use goals::{Goal, goals};
pub use load::{Load, Window};
pub use plans::Plans;
pub use report::{Section, sections};
pub use results::{Cell, Memory, Results};
pub use systems::{Bench, System};
pub use workload::RelayWorkload;

use crate::{backend, process};

/// The flags of `qoe-bench relay`.
#[derive(Clone, Debug, clap::Args)]
pub struct RelayArgs {
    /// Fewer and shorter rounds: under two minutes instead of under six.
    #[arg(long)]
    quick: bool,
    /// Path of qoe-router; default: beside this program.
    #[arg(long)]
    router_bin: Option<PathBuf>,
    /// Folder of the start scripts of the peers.
    #[arg(long, default_value = "tests/peers")]
    peers: PathBuf,
    /// Another router, as NAME=COMMAND with placeholders {port}, {backends}, {prefill} and {decoding}.
    #[arg(long)]
    peer: Vec<String>,
    /// Measure only routers whose name contains this; repeatable.
    #[arg(long)]
    only: Vec<String>,
    /// Folder for results, configuration and logs.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// The number and the duration of measurements.
#[derive(Clone, Copy)]
struct Schedule {
    rounds: usize,
    exchange: Duration,
    paced: Duration,
    steady: Duration,
}

const FULL: Schedule = Schedule {
    rounds: 3,
    exchange: Duration::from_millis(2_000),
    paced: Duration::from_millis(3_000),
    steady: Duration::from_millis(3_000),
};

const QUICK: Schedule = Schedule {
    rounds: 2,
    exchange: Duration::from_millis(600),
    paced: Duration::from_millis(1_200),
    steady: Duration::from_millis(1_500),
};

impl Schedule {
    const fn window(self, workload: RelayWorkload) -> Duration {
        match workload {
            RelayWorkload::Paced => self.paced,
            RelayWorkload::Steady => self.steady,
            _ => self.exchange,
        }
    }
}

/// Runs the bench.
///
/// # Errors
/// The stand-in backends cannot start, or the report cannot be written. After the report: qoe-router did not start,
/// failed requests, has no figure, or did not hand off. A peer that does not start is skipped.
pub async fn run(args: RelayArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    let core = place();
    let placement = placement(core);
    println!("{placement}");
    let backends = backend::start(4)?;
    let core = core.map(|(_, routers)| routers);
    let bench = Bench { backends: &backends, core, folder: &args.out, peers: &args.peers };
    let mut results = Results::default();
    let mut systems = vec![System::direct(backends[0])];
    start(&bench, &args, &mut systems, &mut results).await;
    results.kinds = systems.iter().map(|system| system.kind.clone()).collect();
    let before = plans_of_handoff(&systems, &mut results).await;
    let schedule = if args.quick { QUICK } else { FULL };
    for round in 1..=schedule.rounds {
        println!("round {round} of {}", schedule.rounds);
        one_round(&systems, schedule, &mut results).await;
    }
    let after = plans_of_handoff(&systems, &mut results).await;
    let fault = before.zip(after).and_then(|(before, after)| after.not_handed_off(&before));
    results.errors.extend(fault.map(|fault| (RouterKind::Handoff, fault)));
    for system in systems {
        system.stop().await;
    }
    publish(&args, &results, &placement)?;
    let faults = results.ours_at_fault();
    ensure!(faults.is_empty(), "the figures of qoe-router are not valid: {}", faults.join("; "));
    Ok(())
}

/// Picks the first two usable cores: one for this process with load and backends, one for the routers.
fn place() -> Option<(usize, usize)> {
    let [load, routers, ..] = process::allowed_cores()[..] else { return None };
    process::pin_self(load).then_some((load, routers))
}

fn placement(cores: Option<(usize, usize)>) -> String {
    cores.map_or_else(
        || {
            "NOT PINNED (only one core, or no taskset): routers, load and backends compete for CPU"
                .to_owned()
        },
        |(load, routers)| format!("routers on core {routers}, load and backends on core {load}"),
    )
}

/// Reads the plan counts of the router that hands off. A failure is recorded as an error of the run.
async fn plans_of_handoff(systems: &[System], results: &mut Results) -> Option<Plans> {
    let system = systems.iter().find(|system| system.kind == RouterKind::Handoff)?;
    let plans = system.plans().await;
    plans
        .inspect_err(|error| {
            let what = format!("cannot read its plan counts: {error:#}");
            results.errors.push((RouterKind::Handoff, what));
        })
        .ok()
}

/// Starts all routers. Those that do not start are recorded with the reason.
async fn start(
    bench: &Bench<'_>,
    args: &RelayArgs,
    systems: &mut Vec<System>,
    results: &mut Results,
) {
    let ours = [RouterKind::Local, RouterKind::Handoff];
    let peers = [RouterKind::Envoy, RouterKind::VllmRouter, RouterKind::VllmRouterPd];
    let others = args
        .peer
        .iter()
        .map(|peer| RouterKind::Other(peer.split('=').next().unwrap_or(peer).into()));
    for kind in ours.into_iter().chain(peers).chain(others) {
        if !args.only.is_empty() && !args.only.iter().any(|name| kind.name().contains(name)) {
            continue;
        }
        match start_one(bench, args, kind.clone()).await {
            Ok(system) => {
                println!("{} is ready", kind.name());
                systems.push(system);
            }
            Err(error) => {
                println!("{} is skipped: {error:#}", kind.name());
                results.skipped.push((kind, format!("{error:#}")));
            }
        }
    }
}

async fn start_one(
    bench: &Bench<'_>,
    args: &RelayArgs,
    kind: RouterKind,
) -> anyhow::Result<System> {
    match &kind {
        RouterKind::Direct => anyhow::bail!("the stand-in backend is not a router"),
        RouterKind::Local | RouterKind::Handoff => {
            let router = crate::program("qoe-router", args.router_bin.as_deref())?;
            bench.ours(&router, kind).await
        }
        RouterKind::Envoy | RouterKind::VllmRouter | RouterKind::VllmRouterPd => {
            bench.peer(kind).await
        }
        RouterKind::Other(name) => {
            let given =
                args.peer.iter().find_map(|peer| peer.strip_prefix(name)?.strip_prefix('='));
            let words = given.context("a peer is given as NAME=COMMAND")?.split_whitespace();
            let words: Vec<_> = words.map(str::to_owned).collect();
            bench.command(kind, &words).await
        }
    }
}

async fn one_round(systems: &[System], schedule: Schedule, results: &mut Results) {
    for workload in RelayWorkload::ALL {
        for system in systems {
            // Without a router there is no cost to measure.
            if system.kind == RouterKind::Direct && workload != RelayWorkload::Steady {
                continue;
            }
            let idle = system.usage().rss_bytes as f64;
            let load =
                Load { address: system.address, workload, window: schedule.window(workload) };
            let window = load.run(|| system.usage()).await;
            if workload == RelayWorkload::Paced {
                results.memory_of(&system.kind, Memory { idle, open: window.rss_bytes as f64 });
            }
            results.add(&system.kind, workload, window);
        }
    }
}

fn publish(args: &RelayArgs, results: &Results, placement: &str) -> anyhow::Result<()> {
    let sections = sections(results);
    let mut markdown = format!("# What relaying costs\n\n{placement}\n");
    for Section { title, table } in &sections {
        println!("\n{title}\n{table}");
        markdown += &format!("\n## {title}\n\n{}", table.markdown());
    }
    let path = args.out.join("relay.md");
    std::fs::write(&path, markdown).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {}", path.display());
    Ok(())
}
