//! The figures for comparing policies, in the units of the reports.

use crate::lab::confidence::Confidence;
use crate::lab::summary::summarize::Summary;

/// The direction in which a figure is better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Better {
    /// More is better.
    More,
    /// Less is better.
    Less,
    /// Neither direction is better. The figure explains a result.
    Neither,
}

/// The definition of a figure.
#[derive(Clone, Copy, Debug)]
pub struct Figure {
    /// The name with the unit.
    pub name: &'static str,
    /// The number of decimals.
    pub digits: usize,
    /// The direction in which it is better.
    pub better: Better,
    /// Differences below this do not matter, in the unit of the figure.
    pub noise: f64,
    /// Whether the short tables contain it.
    pub key: bool,
    /// Reads the figure from a summary. `None`: the run does not have it.
    pub value: fn(&Summary) -> Option<f64>,
}

/// All figures, in the order of the tables.
pub const FIGURES: [Figure; 28] = [
    key("SLA met %", 1, Better::More, 0.5, |s| Some(s.sla_met * 100.0)),
    key("smooth %", 1, Better::More, 0.5, |s| Some(s.smooth * 100.0)),
    figure("SLA met % (high)", 1, Better::More, 0.5, |s| percent(s.sla_by_priority[0])),
    figure("SLA met % (medium)", 1, Better::More, 0.5, |s| percent(s.sla_by_priority[1])),
    figure("SLA met % (low)", 1, Better::More, 0.5, |s| percent(s.sla_by_priority[2])),
    key("goodput/s", 2, Better::More, 0.02, |s| Some(s.goodput)),
    key("QoE mean", 3, Better::More, 0.002, |s| Some(s.qoe_mean)),
    key("QoE p10", 3, Better::More, 0.002, |s| Some(s.qoe_p10)),
    key("TTFT p50 ms", 0, Better::Less, 2.0, |s| ms(s.ttft.p50)),
    figure("TTFT p90 ms", 0, Better::Less, 2.0, |s| ms(s.ttft.p90)),
    key("TTFT p99 ms", 0, Better::Less, 5.0, |s| ms(s.ttft.p99)),
    key("ITL p50 ms", 1, Better::Less, 0.2, |s| ms(s.itl.p50)),
    figure("ITL p90 ms", 1, Better::Less, 0.3, |s| ms(s.itl.p90)),
    key("ITL p99 ms", 1, Better::Less, 0.5, |s| ms(s.itl.p99)),
    figure("gap p50 ms", 1, Better::Less, 0.2, |s| ms(s.gap.p50)),
    figure("gap p90 ms", 1, Better::Less, 0.3, |s| ms(s.gap.p90)),
    key("gap p99 ms", 1, Better::Less, 1.0, |s| ms(s.gap.p99)),
    figure("E2E p50 ms", 0, Better::Less, 10.0, |s| ms(s.e2e.p50)),
    figure("E2E p90 ms", 0, Better::Less, 20.0, |s| ms(s.e2e.p90)),
    figure("E2E p99 ms", 0, Better::Less, 50.0, |s| ms(s.e2e.p99)),
    figure("refused %", 2, Better::Less, 0.1, |s| of_all(s, s.refused)),
    figure("lost %", 2, Better::Less, 0.01, |s| of_all(s, s.lost)),
    key("handed off %", 1, Better::Neither, 0.0, |s| Some(s.handed_off * 100.0)),
    figure("KV moved GiB", 1, Better::Neither, 0.0, |s| Some(s.moved_gib)),
    figure("prefix hits %", 1, Better::More, 0.5, |s| Some(s.prefix_hits * 100.0)),
    figure("preempted", 0, Better::Less, 1.0, |s| Some(preemptions(s))),
    figure("TTFT forecast off %", 1, Better::Neither, 0.0, |s| percent(s.ttft_error)),
    figure("ITL forecast off %", 1, Better::Neither, 0.0, |s| percent(s.itl_error)),
];

const fn figure(
    name: &'static str,
    digits: usize,
    better: Better,
    noise: f64,
    value: fn(&Summary) -> Option<f64>,
) -> Figure {
    Figure { name, digits, better, noise, key: false, value }
}

const fn key(
    name: &'static str,
    digits: usize,
    better: Better,
    noise: f64,
    value: fn(&Summary) -> Option<f64>,
) -> Figure {
    Figure { key: true, ..figure(name, digits, better, noise, value) }
}

fn ms(seconds: Option<f64>) -> Option<f64> {
    seconds.map(|seconds| seconds * 1e3)
}

fn percent(share: Option<f64>) -> Option<f64> {
    share.map(|share| share * 100.0)
}

fn of_all(summary: &Summary, some: usize) -> Option<f64> {
    (summary.requests > 0).then(|| some as f64 / summary.requests as f64 * 100.0)
}

fn preemptions(summary: &Summary) -> f64 {
    summary.roles.iter().map(|role| role.preemptions as f64).sum()
}

impl Figure {
    /// The figure over several seeds. `None`: no run has it.
    #[must_use]
    pub fn over(&self, runs: &[Summary]) -> Option<Confidence> {
        Confidence::of(runs.iter().filter_map(self.value).collect())
    }

    /// A value with the decimals of the figure, or a dash.
    #[must_use]
    pub fn show(&self, value: Option<f64>) -> String {
        value.map_or_else(|| "–".to_owned(), |value| format!("{value:.*}", self.digits))
    }

    /// The mean and the half interval with the decimals of the figure, or a dash.
    #[must_use]
    pub fn show_interval(&self, value: Option<Confidence>) -> String {
        let mean = self.show(value.map(|value| value.mean));
        match value.and_then(|value| value.half) {
            Some(half) => format!("{mean} ±{half:.*}", self.digits),
            None => mean,
        }
    }

    /// By how much `one` is worse than `other`, in the unit of the figure. Not above 0 if it is not worse.
    #[must_use]
    pub fn worse_by(&self, one: f64, other: f64) -> f64 {
        match self.better {
            Better::More => other - one,
            Better::Less => one - other,
            Better::Neither => 0.0,
        }
    }
}
