//! The main job of the product without a cluster: the same load over the same four simulated GPUs, twice.
//!
//! First round-robin over four mixed endpoints, then two prefill and two decoding endpoints with handoff. What it
//! prints is what happened, also where the second loses.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};

mod drive;
mod lineup;
mod plot;
mod progress;
mod report;
mod summary;
mod workload;

pub use drive::{Served, drive};
pub use lineup::{LineUp, Parts, Variant};
pub use progress::Progress;
pub use report::Comparison;
pub use summary::{ROWS, Row, STALL, Summary};
pub use workload::{Class, Mix, Planned};

/// What the demo is asked to do.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Both runs together, seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(12..=3_600))]
    seconds: u64,
    /// Leave the second line-up running until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// The router's program; by default beside this one.
    #[arg(long)]
    router_bin: Option<PathBuf>,
    /// The simulator's program; by default beside this one.
    #[arg(long)]
    sim_bin: Option<PathBuf>,
    /// The simulated GPU.
    #[arg(long, default_value = "llama-8b-h100")]
    profile: String,
    /// Chats a second.
    #[arg(long, default_value_t = Mix::default().chat_rate)]
    chat_rate: f64,
    /// Agents' requests a second.
    #[arg(long, default_value_t = Mix::default().agent_rate)]
    agent_rate: f64,
    /// Documents a second.
    #[arg(long, default_value_t = Mix::default().document_rate)]
    document_rate: f64,
    /// Folder of the results, the configuration and the logs.
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
}

const MODEL: &str = "llama-8b";
/// At the end of each run, for the last answers.
const LAST_ANSWERS: Duration = Duration::from_secs(4);
/// A load generator later than this at p99 measures itself.
const LATE: f64 = 20.0;

impl DemoArgs {
    fn mix(&self) -> Mix {
        Mix {
            chat_rate: self.chat_rate,
            agent_rate: self.agent_rate,
            document_rate: self.document_rate,
            ..Mix::default()
        }
    }
}

/// Runs the demo.
///
/// # Errors
/// When a process does not start, the results cannot be written, or the router lost requests or never handed off.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    let router = crate::program("qoe-router", args.router_bin.as_deref())?;
    let sim = crate::program("qoe-sim", args.sim_bin.as_deref())?;
    let (profile, folder) = (args.profile.as_str(), args.out.as_path());
    let parts = Parts { router: &router, sim: &sim, profile, model: MODEL, folder };
    let mix = args.mix();
    let duration = Duration::from_secs(args.seconds) / 2 - LAST_ANSWERS;
    let plan = mix.plan(duration);
    println!(
        "{}\nfour simulated GPUs: {}; {} requests a run\n",
        mix.describe(),
        args.profile,
        plan.len()
    );

    let (mixed, line_up) = half(&parts, Variant::Mixed, &plan).await?;
    line_up.stop().await;
    let (split, line_up) = half(&parts, Variant::Disaggregated, &plan).await?;
    let results = results(&mixed, &split);
    println!("\n{results}");
    save(&args.out, &mix, &mixed, &split)?;
    try_by_hand(line_up, args.keep).await?;
    judge(&split.summary)
}

/// Slower is a figure; a request that failed, or no handoff at all, is a fault.
fn judge(summary: &Summary) -> anyhow::Result<()> {
    let failed = summary.failures.len();
    ensure!(failed == 0, "{failed} requests failed before the disaggregated endpoints");
    ensure!(summary.handed_off > 0.0, "no request was handed off");
    Ok(())
}

/// One run and what it took.
struct Half {
    name: &'static str,
    summary: Summary,
    effort: String,
}

async fn half(
    parts: &Parts<'_>,
    variant: Variant,
    plan: &[Planned],
) -> anyhow::Result<(Half, LineUp)> {
    let line_up = LineUp::start(parts, variant).await?;
    let (sims, router) = line_up.usage();
    let (own, started) = (crate::process::of_self(), Instant::now());
    let mut progress = Progress::new(variant.name());
    let run = drive(line_up.router, plan, parts.model, &mut progress).await;
    let wall = started.elapsed().as_secs_f64();
    let (sims_after, router_after) = line_up.usage();
    let cores =
        |after: Duration, before: Duration| after.saturating_sub(before).as_secs_f64() / wall;
    let tokens = run.iter().map(|served| served.gaps.len() + 1).sum::<usize>();
    let effort = format!(
        "{}: {:.0} tokens/s over {wall:.1} s; cores used: simulators {:.2}, router {:.2}, load {:.2}",
        variant.name(),
        tokens as f64 / wall,
        cores(sims_after.cpu, sims.cpu),
        cores(router_after.cpu, router.cpu),
        cores(crate::process::of_self().cpu, own.cpu),
    );
    Ok((Half { name: variant.name(), summary: Summary::of(&run), effort }, line_up))
}

fn comparison<'a>(before: &'a Half, after: &'a Half) -> Comparison<'a> {
    Comparison { before: (before.name, &before.summary), after: (after.name, &after.summary) }
}

/// The table, the words, the effort, and whether the figures can be trusted.
fn results(before: &Half, after: &Half) -> String {
    let comparison = comparison(before, after);
    let mut text = format!("{}\n{}\n", comparison.table(), comparison.words());
    for half in [before, after] {
        let late = half.summary.lateness.percentile(99.0).unwrap_or(0.0);
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}; load generator late by {late:.1} ms at p99", half.effort);
        if late > LATE {
            let _ = writeln!(
                text,
                "NOT TRUSTWORTHY: the load of `{}` was sent late; this machine is too small or too busy for it",
                half.name
            );
        }
        for why in half.summary.failures.iter().take(3) {
            let _ = writeln!(text, "a request of `{}` failed: {why}", half.name);
        }
    }
    text
}

fn save(folder: &Path, mix: &Mix, before: &Half, after: &Half) -> anyhow::Result<()> {
    let comparison = comparison(before, after);
    let text = format!(
        "# {} against {}\n\n{}\n\n{}\n{}\n- {}\n- {}\n\n![distributions](cdf.svg)\n",
        after.name,
        before.name,
        mix.describe(),
        comparison.table().markdown(),
        comparison.words(),
        before.effort,
        after.effort,
    );
    let svg = plot::svg([comparison.before, comparison.after]);
    for (name, content) in [("demo.md", text), ("cdf.svg", svg)] {
        let path = folder.join(name);
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("written: {0}/demo.md, {0}/cdf.svg", folder.display());
    Ok(())
}

async fn try_by_hand(line_up: LineUp, keep: bool) -> anyhow::Result<()> {
    println!(
        "\ntry it by hand{}:\n{}",
        if keep { "" } else { " (after `make demo KEEP=1`)" },
        curl(line_up.router)
    );
    if keep {
        println!("\nrunning until Ctrl-C");
        // The caller ends us on Ctrl-C, and the line-up with us.
        std::future::pending::<()>().await;
    }
    line_up.stop().await;
    Ok(())
}

fn curl(router: SocketAddr) -> String {
    format!(
        "curl -N http://{router}/v1/chat/completions -H 'content-type: application/json' -H 'x-qoe-explain: 1' -i \\\n  \
         -d '{{\"model\":\"{MODEL}\",\"stream\":true,\"max_tokens\":40,\"messages\":[{{\"role\":\"user\",\"content\":\"Why is the sky blue?\"}}]}}'"
    )
}
