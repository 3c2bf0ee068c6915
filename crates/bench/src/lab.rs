//! The lab: the router's decisions and the simulator's engines, driven event by event in virtual time.
//!
//! ```text
//! experiment (shape, workload | trace) × contestants × rates × seeds → world → summary → report
//! ```

pub mod arrival;
pub mod confidence;
pub mod contestants;
pub mod draw;
pub mod experiment;
pub mod outcome;
pub mod report;
pub mod results;
pub mod shape;
pub mod summary;
pub mod trace;
pub mod workload;
pub mod world;

use std::path::PathBuf;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::Context;

use crate::lab::contestants::{Contestant, contestants};
use crate::lab::experiment::{Question, Traces, standing};
use crate::lab::outcome::Run;
use crate::lab::report::about::About;
use crate::lab::results::{Experiment, Point, Sweep};
use crate::lab::summary::summarize::Summary;

/// The flags of `qoe-bench lab`.
#[derive(Clone, Debug, clap::Args)]
pub struct LabArgs {
    /// Run only experiments whose name begins with this; repeatable.
    #[arg(long)]
    only: Vec<String>,
    /// Compare `Predictive` only with policies whose name contains this; repeatable. Variants of `Predictive` run only
    /// if named here.
    #[arg(long)]
    against: Vec<String>,
    /// Rates to run in place of the default ones, in requests per second.
    #[arg(long, value_delimiter = ',')]
    rates: Vec<f64>,
    /// Number of seeds; each gives another workload.
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u64).range(1..=100))]
    seeds: u64,
    /// Duration of the arrivals, in seconds; default: that of each experiment.
    #[arg(long)]
    seconds: Option<f64>,
    /// Azure's LLM inference trace (CSV, plain or gzip).
    #[arg(long, env = "QOE_LAB_AZURE")]
    azure: Option<PathBuf>,
    /// Mooncake's conversation trace (JSONL, plain or gzip).
    #[arg(long, env = "QOE_LAB_MOONCAKE")]
    mooncake: Option<PathBuf>,
    /// Path of the HTML page to write.
    #[arg(long, default_value = "target/lab/index.html")]
    html: PathBuf,
    /// Path of the Markdown document to write, with its pictures in a folder beside it.
    #[arg(long)]
    markdown: Option<PathBuf>,
}

/// Runs the experiments and writes the reports.
///
/// # Errors
/// A trace cannot be read, or a report cannot be written.
pub fn run(args: &LabArgs) -> anyhow::Result<()> {
    let traces = Traces { azure: args.azure.clone(), mooncake: args.mooncake.clone() };
    let mut experiments = Vec::new();
    let mut questions = standing(&traces)?;
    let names: Vec<_> = questions.iter().map(|question| question.name).collect();
    questions.retain(|question| {
        args.only.is_empty() || args.only.iter().any(|part| question.name.starts_with(part))
    });
    anyhow::ensure!(
        !questions.is_empty(),
        "no experiment begins with {}; there are {} (azure and mooncake need their traces)",
        args.only.join(" or "),
        names.join(", ")
    );
    for mut question in questions {
        if !args.rates.is_empty() {
            question.rates.clone_from(&args.rates);
        }
        question.seconds = args.seconds.unwrap_or(question.seconds);
        let experiment = answer(&question, args);
        println!("{}", report::terminal(&experiment));
        experiments.push(experiment);
    }
    let about = about(args);
    report::write_html(&about, &experiments, &args.html)?;
    println!("page: {}", args.html.display());
    if let Some(path) = &args.markdown {
        report::write_markdown(&about, &experiments, path)
            .with_context(|| format!("cannot write {}", path.display()))?;
        println!("document: {}", path.display());
    }
    Ok(())
}

/// Whether a policy runs in this comparison.
fn chosen(wanted: &[String], contestant: &Contestant) -> bool {
    let named = wanted.iter().any(|part| contestant.label.contains(part.as_str()));
    // The product's default is the subject of every comparison, so it always runs.
    contestant.ours || named || (wanted.is_empty() && !contestant.variant)
}

/// One run of an experiment.
struct Task<'a> {
    contestant: &'a Contestant,
    rate: f64,
    seed: u64,
}

fn answer(question: &Question, args: &LabArgs) -> Experiment {
    let all = contestants();
    let policies: Vec<_> =
        all.iter().filter(|contestant| chosen(&args.against, contestant)).collect();
    let mut tasks = Vec::new();
    for &contestant in &policies {
        for &rate in &question.rates {
            tasks.extend((1..=args.seeds).map(|seed| Task { contestant, rate, seed }));
        }
    }
    let mut results = in_parallel(question, &tasks).into_iter();
    let mut sweep = |contestant: &Contestant| {
        let points = question.rates.iter().map(|&rate| {
            let runs: Vec<_> = results.by_ref().take(args.seeds as usize).collect();
            let sample = runs.first().map(|(_, run)| run.clone()).unwrap_or_default();
            Point { rate, runs: runs.into_iter().map(|(summary, _)| summary).collect(), sample }
        });
        let points = points.collect();
        Sweep { label: contestant.label.to_owned(), ours: contestant.ours, points }
    };
    Experiment {
        name: question.name.to_owned(),
        title: question.title.to_owned(),
        conditions: question.conditions(args.seeds),
        sweeps: policies.iter().map(|contestant| sweep(contestant)).collect(),
    }
}

/// Runs all tasks on all cores. Results are in the order of the tasks.
fn in_parallel(question: &Question, tasks: &[Task<'_>]) -> Vec<(Summary, Run)> {
    let began = Instant::now();
    let next = AtomicUsize::new(0);
    let results = Mutex::new(Vec::new());
    let work = || {
        loop {
            // Runs differ much in length, so threads take tasks one by one.
            let index = next.fetch_add(1, Ordering::Relaxed);
            let Some(task) = tasks.get(index) else { break };
            let mut done = play(question, task);
            // Reports plot only the run of the first seed, so the others are dropped to save memory.
            if task.seed > 1 {
                done.1 = Run::default();
            }
            let mut results = results.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            results.push((index, done));
            eprint!("\r{}: {} of {} runs", question.name, results.len(), tasks.len());
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    std::thread::scope(|scope| {
        (0..threads).for_each(|_| drop(scope.spawn(work)));
    });
    eprintln!(" in {:.1} s", began.elapsed().as_secs_f64());
    let mut results = results.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    // Runs end in any order, but a report needs the order of tasks.
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, done)| done).collect()
}

fn play(question: &Question, task: &Task<'_>) -> (Summary, Run) {
    let arrivals = question.arrivals(task.rate, task.seed);
    let cluster = task.contestant.cluster(&question.shape);
    let run = world::play(&cluster, &task.contestant.rules, &arrivals, task.seed);
    let bytes = cluster.nodes.first().map_or(0, |node| node.profile.kv_bytes_per_token);
    (Summary::of(&run, bytes as f64), run)
}

fn about(args: &LabArgs) -> About {
    let lines = [
        "Policies compared in virtual time. Routers decide by the product's own code: admission, plan, fallback ladder, \
         tracking, learning. Engines compute by the simulator's model, whose steps take what measured tables say (errors of a few \
         percent, held by a test): continuous batching, chunked prefill under vLLM's default token budget, prefix caches \
         that evict, finite KV. Routers see what they would see: their own requests at once, the engines' metrics once a \
         second.",
        "Every policy gets the same machines, the same requests and the same seeds. `mixed` policies use each machine for \
         both phases; `P/D` policies hand every prompt over from a prefill to a decoding endpoint, as routers for \
         disaggregated serving do; `Weighted` is the published formula. `Predictive`, the product's default, gets the same \
         labelled endpoints as the P/D policies, and its queue; no other policy has a queue in the router.",
        "A request meets its SLA if its first token comes within the TTFT target and its mean time between tokens is within \
         the ITL target; one that is refused or lost does not. Goodput counts requests that met both. A request is smooth \
         if, besides, no pause between two of its tokens is longer than three times the ITL target: a mean hides that a \
         stream stands still while somebody else's prompt is read beside it.",
    ];
    let traces = [("Azure's conversations", &args.azure), ("Mooncake's", &args.mooncake)];
    let missing = traces.iter().filter(|(_, path)| path.is_none());
    let missing = missing.map(|(name, _)| format!("Left out, as its trace was not given: {name}."));
    About {
        title: "The lab".to_owned(),
        lines: lines.into_iter().map(str::to_owned).chain(missing).collect(),
        reproduce: vec![format!(
            "make lab  # {} seeds; the same figures on every machine",
            args.seeds
        )],
    }
}
