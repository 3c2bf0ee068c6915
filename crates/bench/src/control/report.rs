//! The figures of the control plane, and the goals for them.

use crate::stats::Sample;
use crate::table::Table;

/// The figures of one cluster size, in seconds, bytes and cores.
pub(super) struct Figures {
    pub(super) shape: String,
    pub(super) pods: usize,
    pub(super) first: f64,
    pub(super) leaving: Sample,
    pub(super) coming: Sample,
    pub(super) burst: f64,
    pub(super) rss: u64,
    pub(super) router_rss: u64,
    pub(super) idle: f64,
    pub(super) busy: f64,
    pub(super) snapshot: f64,
}

const MIB: f64 = 1024.0 * 1024.0;

impl Figures {
    /// The times of all changes together.
    fn all(&self) -> Sample {
        Sample::new([self.leaving.values(), self.coming.values()].concat())
    }
}

pub(super) fn table(figures: &[Figures]) -> String {
    let mut table = Table::new(&[
        "pods x routers",
        "leaves p50/p99",
        "comes p50/p99",
        "burst",
        "first state",
        "RSS",
        "router RSS",
        "idle",
        "busy",
        "snapshot",
    ]);
    for one in figures {
        let both = |sample: &Sample| {
            let ms = |percent| sample.percentile(percent).map_or(f64::NAN, |seconds| seconds * 1e3);
            format!("{:.0} / {:.0} ms", ms(50.0), ms(99.0))
        };
        table.row(vec![
            one.shape.clone(),
            both(&one.leaving),
            both(&one.coming),
            format!("{:.0} ms", one.burst * 1e3),
            format!("{:.1} s", one.first),
            format!("{:.0} MiB", one.rss as f64 / MIB),
            format!("{:.0} MiB", one.router_rss as f64 / MIB),
            format!("{:.3} core", one.idle),
            format!("{:.2} core", one.busy),
            format!("{:.2} MiB", one.snapshot / MIB),
        ]);
    }
    table.to_string()
}

/// The missed goals. The goals: p99 of a change within 100 ms up to 1,000 pods and 1 s beyond, 150 MB, 0.02 cores idle.
pub(super) fn missed(figures: &[Figures]) -> Vec<String> {
    let mut missed = Vec::new();
    for one in figures {
        let limit = if one.pods <= 1000 { 0.1 } else { 1.0 };
        let p99 = one.all().percentile(99.0).unwrap_or(f64::NAN);
        let figures = [
            ("change to routed, p99, ms", p99 * 1e3, limit * 1e3),
            ("RSS, MB", one.rss as f64 / 1e6, 150.0),
            ("idle, cores", one.idle, 0.02),
        ];
        for (what, reached, goal) in figures {
            // NaN (nothing was measured) fails the comparison, so it is reported as missed.
            if reached.is_nan() || reached > goal {
                missed.push(format!("{}: {what}: {reached:.3} instead of {goal}", one.shape));
            }
        }
    }
    missed
}
