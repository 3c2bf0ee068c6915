//! What relaying costs: our router beside its peers, in one run, before the same stand-in backends.
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

pub use crate::relay::kind::Kind;
use anyhow::{Context, ensure};
pub use goals::{Goal, goals};
pub use load::{Load, Window};
pub use plans::Plans;
pub use report::{Section, sections};
pub use results::{Cell, Memory, Results};
pub use systems::{Bench, System};
pub use workload::Workload;

use crate::{backend, process};

/// What the bench is asked to do.
#[derive(Clone, Debug, clap::Args)]
pub struct RelayArgs {
    /// Fewer and shorter rounds: under two minutes instead of under six.
    #[arg(long)]
    quick: bool,
    /// The router's program; by default beside this one.
    #[arg(long)]
    router_bin: Option<PathBuf>,
    /// Folder of the peers' start scripts.
    #[arg(long, default_value = "tests/peers")]
    peers: PathBuf,
    /// Another router, as NAME=COMMAND; {port}, {backends}, {prefill} and {decoding} are filled in.
    #[arg(long)]
    peer: Vec<String>,
    /// Only routers whose name contains one of these.
    #[arg(long)]
    only: Vec<String>,
    /// Folder of the results, the configuration and the logs.
    #[arg(long, default_value = "target/bench")]
    out: PathBuf,
}

/// How long and how often is measured.
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
    const fn window(self, workload: Workload) -> Duration {
        match workload {
            Workload::Paced => self.paced,
            Workload::Steady => self.steady,
            _ => self.exchange,
        }
    }
}

/// Runs the bench.
///
/// # Errors
/// When the stand-ins cannot start or the report not be written; after the report, when our own router did not
/// start, failed requests, has no figure, or did not hand off what it should. A peer that does not start is skipped.
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
    results.errors.extend(fault.map(|fault| (Kind::Handoff, fault)));
    for system in systems {
        system.stop().await;
    }
    publish(&args, &results, &placement)?;
    let faults = results.ours_at_fault();
    ensure!(faults.is_empty(), "our own figures cannot stand: {}", faults.join("; "));
    Ok(())
}

/// Takes the first two cores that we may use: one for load and backends, where this goes now, one for the routers.
fn place() -> Option<(usize, usize)> {
    let [load, routers, ..] = process::allowed_cores()[..] else { return None };
    process::pin_self(load).then_some((load, routers))
}

fn placement(cores: Option<(usize, usize)>) -> String {
    cores.map_or_else(
        || {
            "NOT PINNED (one core, or no taskset): routers, load and backends disturb each other"
                .to_owned()
        },
        |(load, routers)| format!("routers on core {routers}, load and backends on core {load}"),
    )
}

/// What the handing-off router has counted so far; that it cannot be known is an error of the run.
async fn plans_of_handoff(systems: &[System], results: &mut Results) -> Option<Plans> {
    let system = systems.iter().find(|system| system.kind == Kind::Handoff)?;
    let plans = system.plans().await;
    plans
        .inspect_err(|error| {
            let what = format!("its plans cannot be read: {error:#}");
            results.errors.push((Kind::Handoff, what));
        })
        .ok()
}

/// Starts all routers that can be; notes why the others cannot.
async fn start(
    bench: &Bench<'_>,
    args: &RelayArgs,
    systems: &mut Vec<System>,
    results: &mut Results,
) {
    let ours = [Kind::Local, Kind::Handoff];
    let peers = [Kind::Envoy, Kind::VllmRouter, Kind::VllmRouterPd];
    let others =
        args.peer.iter().map(|peer| Kind::Other(peer.split('=').next().unwrap_or(peer).into()));
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

async fn start_one(bench: &Bench<'_>, args: &RelayArgs, kind: Kind) -> anyhow::Result<System> {
    match &kind {
        Kind::Direct => anyhow::bail!("the stand-in is no router"),
        Kind::Local | Kind::Handoff => {
            let router = crate::program("qoe-router", args.router_bin.as_deref())?;
            bench.ours(&router, kind).await
        }
        Kind::Envoy | Kind::VllmRouter | Kind::VllmRouterPd => bench.peer(kind).await,
        Kind::Other(name) => {
            let given =
                args.peer.iter().find_map(|peer| peer.strip_prefix(name)?.strip_prefix('='));
            let words = given.context("a peer is given as NAME=COMMAND")?.split_whitespace();
            let words: Vec<_> = words.map(str::to_owned).collect();
            bench.command(kind, &words).await
        }
    }
}

async fn one_round(systems: &[System], schedule: Schedule, results: &mut Results) {
    for workload in Workload::ALL {
        for system in systems {
            // Without a router there is no router's cost to measure.
            if system.kind == Kind::Direct && workload != Workload::Steady {
                continue;
            }
            let idle = system.usage().rss_bytes as f64;
            let load =
                Load { address: system.address, workload, window: schedule.window(workload) };
            let window = load.run(|| system.usage()).await;
            if workload == Workload::Paced {
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
