//! The demo: the same load on the same four simulated GPUs, served twice without a cluster.
//!
//! First by four mixed endpoints under a simple policy, then by two prefill and two decoding endpoints with handoff. It
//! prints all measured figures, also those that got worse.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Context;

mod drive;
mod half;
mod lineup;
mod plot;
mod progress;
mod report;
mod summary;
mod workload;

pub use drive::{Served, drive};
pub use half::Half;
pub use lineup::{Baseline, DemoCluster, DemoSetup, Variant};
pub use progress::Progress;
pub use report::Comparison;
pub use summary::{METRICS, Metric, RunSummary, STALL};
pub use workload::{Class, Mix, Planned};

/// The flags of `qoe-bench demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct DemoArgs {
    /// Duration of both runs together, in seconds.
    #[arg(long, default_value_t = 60, value_parser = clap::value_parser!(u64).range(12..=3_600))]
    seconds: u64,
    /// Policy of the mixed run, which the disaggregated run is compared with.
    #[arg(long, value_enum, default_value_t)]
    baseline: Baseline,
    /// Leave the disaggregated servers running until Ctrl-C.
    #[arg(long)]
    keep: bool,
    /// Path of qoe-router; default: beside this program.
    #[arg(long)]
    router_bin: Option<PathBuf>,
    /// Path of qoe-sim; default: beside this program.
    #[arg(long)]
    sim_bin: Option<PathBuf>,
    /// Profile of the simulated GPUs.
    #[arg(long, default_value = "llama-8b-h100")]
    profile: String,
    /// Chat requests per second.
    #[arg(long, default_value_t = Mix::default().chat_rate)]
    chat_rate: f64,
    /// Agent requests per second.
    #[arg(long, default_value_t = Mix::default().agent_rate)]
    agent_rate: f64,
    /// Document requests per second.
    #[arg(long, default_value_t = Mix::default().document_rate)]
    document_rate: f64,
    /// Folder for results, configuration and logs.
    #[arg(long, default_value = "target/demo")]
    out: PathBuf,
}

const MODEL: &str = "llama-8b";
/// The time at the end of each run in which no request is sent, for the last answers to finish.
const LAST_ANSWERS: Duration = Duration::from_secs(4);

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
/// A process does not start, the results cannot be written, requests failed or vanished, or the disaggregated router
/// never handed off.
pub async fn run(args: DemoArgs) -> anyhow::Result<()> {
    std::fs::create_dir_all(&args.out)
        .with_context(|| format!("cannot make {}", args.out.display()))?;
    let router = crate::program("qoe-router", args.router_bin.as_deref())?;
    let sim = crate::program("qoe-sim", args.sim_bin.as_deref())?;
    let (profile, folder) = (args.profile.as_str(), args.out.as_path());
    let parts = DemoSetup { router: &router, sim: &sim, profile, model: MODEL, folder };
    let mix = args.mix();
    let duration = Duration::from_secs(args.seconds) / 2 - LAST_ANSWERS;
    let plan = mix.plan(duration);
    let (before, after) = (Variant::Mixed(args.baseline), Variant::Disaggregated);
    let differences = premises(&mix, before, after);
    let premises =
        format!("{differences} Profile {}; {} requests per run.", args.profile, plan.len());
    println!("{premises}\n");

    let (mixed, line_up) = half(&parts, before, &plan).await?;
    line_up.stop().await;
    let (split, line_up) = half(&parts, after, &plan).await?;
    let results = DemoReport::of(&mixed, &split);
    println!("\n{}", results.terminal());
    save(&args.out, &premises, &results)?;
    try_by_hand(line_up, args.keep).await?;
    mixed.judge()?;
    split.judge()
}

async fn half(
    parts: &DemoSetup<'_>,
    variant: Variant,
    plan: &[Planned],
) -> anyhow::Result<(Half, DemoCluster)> {
    let line_up = DemoCluster::start(parts, variant).await?;
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
        "{:.0} tokens/s over {wall:.1} s; cores used: simulators {:.2}, router {:.2}, load {:.2}",
        tokens as f64 / wall,
        cores(sims_after.cpu, sims.cpu),
        cores(router_after.cpu, router.cpu),
        cores(crate::process::of_self().cpu, own.cpu),
    );
    Ok((Half::new(variant, plan.len(), &run, effort), line_up))
}

/// The load, and the differences between the two runs: everything that belongs above the table.
fn premises(mix: &Mix, before: Variant, after: Variant) -> String {
    format!(
        "{}\n\nWhat differs, on the same four simulated GPUs:\n- {}: {};\n- {}: {}.\n\n\
         Everything else is the same. The prefill chunk size (tokens per step) is the profile's in both runs and tuned for \
         neither.",
        mix.describe(),
        before.title(),
        before.describe(),
        after.title(),
        after.describe()
    )
}

/// The results of both runs, rendered for the terminal and for the Markdown file.
struct DemoReport<'a> {
    comparison: Comparison<'a>,
    notes: String,
}

impl<'a> DemoReport<'a> {
    fn of(before: &'a Half, after: &'a Half) -> Self {
        let comparison = Comparison {
            before: (before.variant.title(), &before.summary),
            after: (after.variant.title(), &after.summary),
        };
        let notes = [before, after].into_iter().flat_map(Half::notes);
        Self { comparison, notes: notes.map(|note| format!("- {note}\n")).collect() }
    }

    fn terminal(&self) -> String {
        format!("{}\n{}\n{}", self.comparison.table(), self.comparison.words(), self.notes)
    }

    fn markdown(&self, premises: &str) -> String {
        let Comparison { before, after } = &self.comparison;
        // Markdown joins lines, so each line becomes a paragraph.
        let words = self.comparison.words().replace('\n', "\n\n");
        format!(
            "# {} against {}\n\n{premises}\n\n{}\n{words}{}\n![distributions](cdf.svg)\n",
            after.0,
            before.0,
            self.comparison.table().markdown(),
            self.notes
        )
    }
}

fn save(folder: &Path, premises: &str, results: &DemoReport<'_>) -> anyhow::Result<()> {
    let svg = plot::svg([results.comparison.before, results.comparison.after]);
    for (name, content) in [("demo.md", results.markdown(premises)), ("cdf.svg", svg)] {
        let path = folder.join(name);
        std::fs::write(&path, content)
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    println!("written: {0}/demo.md, {0}/cdf.svg", folder.display());
    Ok(())
}

async fn try_by_hand(line_up: DemoCluster, keep: bool) -> anyhow::Result<()> {
    println!(
        "\nTry it yourself{}:\n{}",
        if keep { "" } else { " (after `make demo KEEP=1`)" },
        curl(line_up.router)
    );
    if keep {
        println!("\nRunning until Ctrl-C.");
        // On Ctrl-C the caller drops this future, which ends the servers.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_says_everything_that_the_terminal_says() {
        let before = Half::new(Variant::Mixed(Baseline::LeastRequest), 3, &[], "0.5 cores".into());
        let after = Half::new(Variant::Disaggregated, 0, &[], "0.7 cores".into());
        let results = DemoReport::of(&before, &after);
        let premises = premises(&Mix::default(), before.variant, after.variant);
        let (terminal, markdown) = (results.terminal(), results.markdown(&premises));
        let table = results.comparison.table().to_string();
        for line in terminal.lines().filter(|line| !table.contains(line)) {
            assert!(markdown.contains(line), "{line}\nis not in\n{markdown}");
        }
        assert!(
            terminal.contains("3 requests of `mixed, least-request` have no result"),
            "{terminal}"
        );
        assert!(
            markdown.contains("LeastRequest over four mixed servers")
                && markdown.contains("0.7 cores")
        );
        assert!(markdown.contains("|  | mixed, least-request | disaggregated |"), "{markdown}");
    }
}
