//! Checks the lab: plays the same arrivals in virtual time and in real time, and compares the figures.
//!
//! ```text
//! arrivals ─┬─ lab: core's decisions over engines in virtual time ──────────┐
//!           ├─ qoe-router ─┬ qoe-sim × 4, real processes, real connections ─┼─ facts → bounds → verdicts
//!           └─ vllm-router ┘                                                ┘
//! ```
//!
//! In both, the simulated GPUs are slower than their profile. A few requests per second then fill them, and the
//! overhead of the machine is small compared with the measured times. Prompts are sent as text with the same number of
//! tokens and the same shared prefixes.

mod drive;
mod facts;
mod lineup;
mod prompt;
mod report;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use qoe_core::request::analyze::Priority;
use qoe_core::target::Target;
use qoe_sim::Profile;

use crate::demo::Progress;
use crate::lab::arrival::{Arrival, Content, Piece};
use crate::lab::contestants::{Contestant, contestants};
use crate::lab::experiment::{Question, Source};
use crate::lab::shape::Shape;
use crate::lab::trace::replay::Replay;
use crate::lab::trace::rows::Trace;
use crate::lab::workload::Workload;
use crate::lab::workload::promises::Promises;
use crate::lab::world;
use crate::process::Usage;
use crate::replay::drive::Seen;
use crate::replay::facts::Facts;
use crate::replay::lineup::{MODEL, ReplayCluster, ReplaySetup, Who};
use crate::replay::report::{LabCheck, Real};
use crate::stats::Sample;

/// The flags of `qoe-bench replay`.
#[derive(Clone, Debug, clap::Args)]
pub struct ReplayArgs {
    /// Workload, by its name in the lab.
    #[arg(long, default_value = "chat", conflicts_with = "trace")]
    workload: String,
    /// Trace to use in place of a workload: Azure's (CSV) or Mooncake's (JSONL), plain or gzip.
    #[arg(long)]
    trace: Option<PathBuf>,
    /// Requests per second.
    #[arg(long, default_value_t = 8.0)]
    rate: f64,
    /// Duration of the arrivals, in seconds.
    #[arg(long, default_value_t = 60.0)]
    seconds: f64,
    /// Seed of the workload.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Profile of the simulated GPUs.
    #[arg(long, default_value = "llama-8b-h100")]
    profile: String,
    /// Factor by which the simulated GPUs are slower than their profile.
    #[arg(long, default_value_t = 4.0)]
    slower: f64,
    /// Number of prefill endpoints; mixed policies use as many mixed endpoints.
    #[arg(long, default_value_t = 2)]
    prefill: usize,
    /// Number of decoding endpoints; mixed policies use as many mixed endpoints.
    #[arg(long, default_value_t = 2)]
    decoding: usize,
    /// TTFT target in milliseconds, on GPUs as fast as the profile.
    #[arg(long, default_value_t = 500)]
    ttft_milliseconds: u64,
    /// ITL target in milliseconds, on GPUs as fast as the profile.
    #[arg(long, default_value_t = 30)]
    itl_milliseconds: u64,
    /// Policy in place of the default ones, by its name in the lab or a part of it; repeatable.
    #[arg(long)]
    policy: Vec<String>,
    /// Fail if a figure of the lab is out of its bound.
    #[arg(long)]
    check: bool,
    /// Path of qoe-router; default: beside this program.
    #[arg(long)]
    router_bin: Option<PathBuf>,
    /// Path of qoe-sim; default: beside this program.
    #[arg(long)]
    sim_bin: Option<PathBuf>,
    /// Folder of the start scripts of the peers.
    #[arg(long, default_value = "tests/peers")]
    peers: PathBuf,
    /// Folder for results, configuration and logs.
    #[arg(long, default_value = "target/replay")]
    out: PathBuf,
}

/// The policies that are replayed unless others are named.
const STANDING: [&str; 4] =
    ["Predictive", "mixed, round-robin", "P/D, round-robin", "P/D, least-request"];
/// The policy of `vllm-router`.
const OF_VLLM_ROUTER: &str = "P/D, round-robin";
/// The number of requests that are sent one at a time before the others, so that no queue affects their latency.
const ALONE: u32 = 8;
/// The seconds between those, on GPUs as fast as the profile.
const APART: f64 = 0.3;
/// The p99 lateness of the load generator, in seconds, above which the figures are not trustworthy.
const LATE: f64 = 0.02;
/// The number of failures that are listed one by one.
const TOLD: usize = 3;

/// Replays the workload under each policy.
///
/// # Errors
/// Something does not start, or the results cannot be written. With `--check`, also a figure out of its bound.
pub async fn run(args: ReplayArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    let router = crate::program("qoe-router", args.router_bin.as_deref())?;
    let sim = crate::program("qoe-sim", args.sim_bin.as_deref())?;
    let parts = ReplaySetup {
        router: &router,
        sim: &sim,
        peers: &args.peers,
        folder: &args.out,
        slower: args.slower,
    };
    let stage = Stage { parts, shape: args.shape()?, arrivals: args.arrivals()?, seed: args.seed };
    let premises = args.premises(&stage);
    println!("{premises}\n");
    let mut text = format!("# The lab and real time\n\n{premises}\n");
    let mut off = Vec::new();
    for contestant in args.policies()? {
        let comparison = stage.compare(&contestant).await?;
        let (table, notes) = (comparison.table(), comparison.notes());
        println!("\n{table}\n{notes}");
        text.push_str(&format!("\n{}\n{notes}", table.markdown()));
        off.extend(comparison.off());
    }
    let path = args.out.join("replay.md");
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
    println!("written: {}", path.display());
    off.iter().for_each(|off| println!("OFF: {off}"));
    ensure!(
        !args.check || off.is_empty(),
        "{} figures of the lab are out of their bounds",
        off.len()
    );
    Ok(())
}

impl ReplayArgs {
    fn target(&self) -> Target {
        let slower = |milliseconds| Duration::from_millis(milliseconds).mul_f64(self.slower);
        Target { ttft: slower(self.ttft_milliseconds), itl: slower(self.itl_milliseconds) }
    }

    fn shape(&self) -> anyhow::Result<Shape> {
        let named = Profile::named(&self.profile);
        let profile = named.with_context(|| format!("no profile is called {}", self.profile))?;
        let mut shape = Shape::split(self.prefill, self.decoding, &profile);
        shape.gigabits_per_second /= self.slower;
        for node in 0..shape.nodes.len() {
            shape = shape.with_slow(node, self.slower);
            shape.nodes[node].profile.transfer_setup *= self.slower;
        }
        Ok(shape)
    }

    fn arrivals(&self) -> anyhow::Result<Vec<Arrival>> {
        let promises = Promises::same(self.target());
        let source = match &self.trace {
            Some(path) => {
                Source::Trace(Trace::open(path)?, Replay { promises, ..Replay::default() })
            }
            None => Source::Made(Workload::named(&self.workload)?.with_promises(promises)),
        };
        let question = Question {
            name: "replay",
            title: "",
            shape: self.shape()?,
            source,
            seconds: self.seconds,
            rates: Vec::new(),
        };
        let apart = Duration::from_secs_f64(APART * self.slower);
        let rest = question.arrivals(self.rate, self.seed).into_iter();
        let rest = rest.map(|one| Arrival { at: one.at + apart * ALONE, ..one });
        Ok((0..ALONE).map(|index| alone(index, apart, self.target())).chain(rest).collect())
    }

    fn policies(&self) -> anyhow::Result<Vec<Contestant>> {
        let all = contestants();
        // A whole name stands for itself, though others may have it in theirs.
        let named = |label: &str| match self.policy.as_slice() {
            [] => STANDING.contains(&label),
            parts => parts.iter().any(|part| match all.iter().any(|one| one.label == part) {
                true => label == part,
                false => label.contains(part.as_str()),
            }),
        };
        let policies: Vec<_> = all.iter().filter(|one| named(one.label)).cloned().collect();
        ensure!(!policies.is_empty(), "no policy has a name with {:?}", self.policy);
        Ok(policies)
    }

    fn premises(&self, stage: &Stage<'_>) -> String {
        let target = self.target();
        format!(
            "{}: {} requests, {} per second, seed {}; before them {ALONE} one at a time (512 tokens). {}; mixed where \
             phases are not parted. The GPUs are {} times slower than their profile. Promised: TTFT {} ms, ITL {} ms. \
             Prompts are completions, as text.",
            self.trace.as_ref().map_or(self.workload.clone(), |path| path.display().to_string()),
            stage.arrivals.len() - ALONE as usize,
            self.rate,
            self.seed,
            stage.shape.describe(),
            self.slower,
            target.ttft.as_millis(),
            target.itl.as_millis(),
        )
    }
}

fn alone(index: u32, apart: Duration, target: Target) -> Arrival {
    Arrival {
        at: apart * index,
        prompt: vec![Piece { content: Content::Words(u64::from(index)), tokens: 512 }].into(),
        output_tokens: 8,
        expected_output_tokens: None,
        priority: Priority::Medium,
        target,
        goes_on: false,
    }
}

/// The setup on which every policy is replayed.
struct Stage<'a> {
    parts: ReplaySetup<'a>,
    shape: Shape,
    arrivals: Vec<Arrival>,
    seed: u64,
}

impl Stage<'_> {
    async fn compare(&self, contestant: &Contestant) -> anyhow::Result<LabCheck> {
        let shape = contestant.cluster(&self.shape);
        let mut real = vec![self.real(Who::Ours, contestant, &shape).await?];
        if contestant.label == OF_VLLM_ROUTER {
            match self.real(Who::VllmRouter, contestant, &shape).await {
                Ok(peer) => real.push(peer),
                Err(error) => println!("{} is skipped: {error:#}", Who::VllmRouter.name()),
            }
        }
        let run = world::play(&shape, &contestant.rules, &self.arrivals, self.seed);
        let computed: u64 = run.uses.iter().map(|used| used.computed_tokens).sum();
        let lab = Facts::of(&run.outcomes, ALONE as usize, computed as f64, true);
        Ok(LabCheck { label: contestant.label, lab, real })
    }

    async fn real(&self, who: Who, contestant: &Contestant, shape: &Shape) -> anyhow::Result<Real> {
        let line_up = ReplayCluster::start(&self.parts, who, contestant, shape).await?;
        let before = Effort::of(&line_up);
        let mut progress = Progress::new(&format!("{}, {}", who.name(), contestant.label));
        let seen = drive::drive(line_up.address, MODEL, &self.arrivals, &mut progress).await;
        let notes = notes(&seen, &before.until(&Effort::of(&line_up)));
        let computed = line_up.computed_tokens().await?;
        line_up.stop().await;
        let outcomes: Vec<_> = seen.into_iter().map(|seen| seen.outcome).collect();
        let facts = Facts::of(&outcomes, ALONE as usize, computed, who == Who::Ours);
        Ok(Real { name: who.name(), facts, notes })
    }
}

/// The CPU time of all participants.
struct Effort {
    at: Instant,
    sims: Usage,
    router: Usage,
    load: Usage,
}

impl Effort {
    fn of(line_up: &ReplayCluster) -> Self {
        let (sims, router) = line_up.usage();
        Self { at: Instant::now(), sims, router, load: crate::process::of_self() }
    }

    fn until(&self, end: &Self) -> String {
        let seconds = end.at.duration_since(self.at).as_secs_f64();
        let cores = |after: Usage, before: Usage| {
            after.cpu.saturating_sub(before.cpu).as_secs_f64() / seconds
        };
        format!(
            "cores used: simulators {:.2}, router {:.2}, load {:.2}",
            cores(end.sims, self.sims),
            cores(end.router, self.router),
            cores(end.load, self.load)
        )
    }
}

fn notes(seen: &[Seen], effort: &str) -> Vec<String> {
    let late = Sample::new(seen.iter().map(|seen| seen.lateness).collect());
    let late = late.percentile(99.0).unwrap_or_default();
    let mut notes = vec![format!("{effort}; load late by {:.1} ms at p99", late * 1e3)];
    if late > LATE {
        let why = "NOT TRUSTWORTHY: the load was sent late: use a larger or quieter machine";
        notes.push(why.to_owned());
    }
    let failures: Vec<_> = seen.iter().filter_map(|seen| seen.failure.as_deref()).collect();
    notes.extend(failures.iter().take(TOLD).map(|why| format!("a request failed: {why}")));
    if failures.len() > TOLD {
        notes.push(format!("{} more requests failed", failures.len() - TOLD));
    }
    notes
}

#[cfg(test)]
mod tests {
    use clap::Parser as _;

    use super::*;

    #[derive(clap::Parser)]
    struct Flags {
        #[command(flatten)]
        args: ReplayArgs,
    }

    fn args(flags: &[&str]) -> ReplayArgs {
        Flags::parse_from([&["replay"], flags].concat()).args
    }

    #[test]
    fn those_that_are_alone_come_first_and_gpus_are_slower_in_all_they_do() {
        let args = args(&["--slower", "2", "--seconds", "10"]);
        let arrivals = args.arrivals().expect("a named workload");
        assert!(arrivals.is_sorted_by_key(|arrival| arrival.at));
        assert!(arrivals[8].at >= Duration::from_secs_f64(8.0 * 0.6) && arrivals.len() > 50);
        assert_eq!(arrivals[20].target.ttft, Duration::from_secs(1));
        let shape = args.shape().expect("a named profile");
        let (profile, base) = (&shape.nodes[0].profile, Profile::llama_8b_h100());
        assert_eq!(profile.transfer_setup, 2.0 * base.transfer_setup);
        let transfer = profile.transfer_time(5_000, shape.gigabits_per_second);
        let expected = base.transfer_time(5_000, 200.0) * 2;
        assert!(transfer.abs_diff(expected) < Duration::from_micros(2), "{transfer:?}");
    }

    #[test]
    fn policies_are_named_as_in_the_lab() {
        let labels = |flags: &[&str]| {
            let policies = args(flags).policies().expect("standing ones");
            policies.iter().map(|policy| policy.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(&[]).len(), STANDING.len(), "a standing policy is unknown to the lab");
        assert_eq!(labels(&["--policy", "P/D, least"]), ["P/D, least-request"]);
        assert_eq!(labels(&["--policy", "Predictive"]), ["Predictive"]);
        assert!(args(&["--policy", "nothing"]).policies().is_err());
    }
}
