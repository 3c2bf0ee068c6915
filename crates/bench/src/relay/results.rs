//! What all rounds gave, by router and workload.

use std::collections::BTreeMap;

use crate::relay::kind::Kind;
use crate::relay::load::Window;
use crate::relay::workload::{STREAMS, Workload};
use crate::stats::Sample;

/// The rounds of one router under one workload.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// Processor time a unit (request; token of paced streams), microseconds, by round.
    pub cost: Vec<f64>,
    /// Median latency, microseconds, by round.
    pub p50: Vec<f64>,
    /// 99th percentile of latency, microseconds, by round.
    pub p99: Vec<f64>,
    /// How late the load was sent at p99, microseconds, by round.
    pub lateness: Vec<f64>,
    /// Units, and failures, of all rounds.
    pub units: u64,
    /// See `units`.
    pub failed: u64,
    /// A round delivered clearly less than the streams' pace: its cost is that of another load.
    pub starved: bool,
    rounds: usize,
}

/// Paced streams that deliver less than this share of what was due, percent, are starved.
const DELIVERED: u64 = 98;

/// Memory of one router, bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// After its first few requests.
    pub idle: f64,
    /// With [`STREAMS`] streams open.
    pub open: f64,
}

impl Memory {
    /// Of one open stream.
    #[must_use]
    pub fn stream(self) -> f64 {
        (self.open - self.idle).max(0.0) / STREAMS as f64
    }
}

/// Everything measured in a run.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The routers, in the order of the report.
    pub kinds: Vec<Kind>,
    cells: BTreeMap<(Kind, Workload), Cell>,
    memory: BTreeMap<Kind, Memory>,
    /// Routers that were not measured, and why.
    pub skipped: Vec<(Kind, String)>,
    /// Routers that did something else than their row says, and what.
    pub errors: Vec<(Kind, String)>,
}

impl Results {
    /// Notes one window.
    pub fn add(&mut self, kind: &Kind, workload: Workload, window: Window) {
        let cell = self.cells.entry((kind.clone(), workload)).or_default();
        cell.units += window.units;
        cell.failed += window.failed;
        cell.starved |= window.units * 100 < window.due * DELIVERED;
        cell.rounds += 1;
        if window.units > 0 && !window.cpu.is_zero() {
            cell.cost.push(window.cpu.as_secs_f64() * 1e6 / window.units as f64);
        }
        let latencies = Sample::new(window.latencies);
        cell.p50.extend(latencies.percentile(50.0));
        cell.p99.extend(latencies.percentile(99.0));
        cell.lateness.extend(Sample::new(window.lateness).percentile(99.0));
    }

    /// Notes the memory of a router, once.
    pub fn memory_of(&mut self, kind: &Kind, memory: Memory) {
        self.memory.entry(kind.clone()).or_insert(memory);
    }

    /// The rounds of one router under one workload.
    #[must_use]
    pub fn cell(&self, kind: &Kind, workload: Workload) -> Option<&Cell> {
        self.cells.get(&(kind.clone(), workload))
    }

    /// Median cost over the rounds, microseconds a unit.
    #[must_use]
    pub fn cost(&self, kind: &Kind, workload: Workload) -> Option<f64> {
        Sample::new(self.cell(kind, workload)?.cost.clone()).median()
    }

    /// Memory of a router.
    #[must_use]
    pub fn memory(&self, kind: &Kind) -> Option<Memory> {
        self.memory.get(kind).copied()
    }

    /// Median over the rounds of a latency of the steady load, microseconds.
    #[must_use]
    pub fn steady(&self, kind: &Kind, which: fn(&Cell) -> &Vec<f64>) -> Option<f64> {
        Sample::new(which(self.cell(kind, Workload::Steady)?).clone()).median()
    }

    /// Why the figures of our own router cannot stand; nothing where they can.
    #[must_use]
    pub fn ours_at_fault(&self) -> Vec<String> {
        let ours = |kind: &Kind| kind.is_ours();
        let skipped = self.skipped.iter().filter(|(kind, _)| ours(kind));
        let skipped = skipped.map(|(kind, why)| format!("{} did not start: {why}", kind.name()));
        let failed =
            self.failures().filter(|(kind, ..)| ours(kind)).map(|(kind, workload, cell)| {
                format!("{}, {}: {} requests failed", kind.name(), workload.name(), cell.failed)
            });
        let errors = self.errors.iter().filter(|(kind, _)| ours(kind));
        let errors = errors.map(|(kind, what)| format!("{}: {what}", kind.name()));
        skipped.chain(failed).chain(errors).chain(self.without_cost()).collect()
    }

    /// Rounds of ours without a figure for the processor.
    fn without_cost(&self) -> impl Iterator<Item = String> {
        let ours = self.cells.iter().filter(|((kind, workload), cell)| {
            kind.is_ours() && *workload != Workload::Steady && cell.cost.len() < cell.rounds
        });
        ours.map(|((kind, workload), cell)| {
            let missing = cell.rounds - cell.cost.len();
            format!("{}, {}: {missing} rounds without CPU figure", kind.name(), workload.name())
        })
    }

    /// All failures: router, workload, failed, of how many.
    pub fn failures(&self) -> impl Iterator<Item = (&Kind, Workload, &Cell)> {
        let failed = self.cells.iter().filter(|(_, cell)| cell.failed > 0);
        failed.map(|((kind, workload), cell)| (kind, *workload, cell))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn window() -> Window {
        Window { units: 100, cpu: Duration::from_millis(1), ..Window::default() }
    }

    #[test]
    fn only_our_own_faults_make_the_run_fail() {
        let mut results = Results::default();
        results.add(&Kind::Local, Workload::Unary, window());
        results.add(&Kind::Local, Workload::Steady, Window { units: 9, ..Window::default() });
        results.add(&Kind::Envoy, Workload::Unary, Window { failed: 3, ..Window::default() });
        results.skipped.push((Kind::VllmRouter, "it is not here".into()));
        assert_eq!(results.ours_at_fault(), Vec::<String>::new());
        results.add(&Kind::Local, Workload::Unary, Window { cpu: Duration::ZERO, ..window() });
        results.add(&Kind::Local, Workload::Paced, Window { failed: 2, ..window() });
        results.skipped.push((Kind::Handoff, "no program".into()));
        results.errors.push((Kind::Handoff, "1 request was served locally".into()));
        let faults = results.ours_at_fault();
        for part in ["did not start: no program", "2 requests failed", "served locally", "1 rounds"]
        {
            assert!(faults.iter().any(|fault| fault.contains(part)), "{part}: {faults:?}");
        }
        assert_eq!(faults.len(), 4, "{faults:?}");
    }

    #[test]
    fn streams_below_98_percent_of_their_pace_are_starved() {
        let starved = |units| {
            let mut results = Results::default();
            results.add(&Kind::Envoy, Workload::Paced, Window { units, due: 1_000, ..window() });
            results.cell(&Kind::Envoy, Workload::Paced).unwrap().starved
        };
        assert!(starved(979) && !starved(980));
    }
}
