//! The results of all rounds, by router and load.

use std::collections::BTreeMap;

use crate::relay::kind::RouterKind;
use crate::relay::load::Window;
use crate::relay::workload::{RelayWorkload, STREAMS};
use crate::stats::Sample;

/// The rounds of one router under one workload.
#[derive(Clone, Debug, Default)]
pub struct Cell {
    /// CPU time per unit (request, or token of paced streams) of each round, in microseconds.
    pub cost: Vec<f64>,
    /// Median latency of each round, in microseconds.
    pub p50: Vec<f64>,
    /// 99th percentile of the latency of each round, in microseconds.
    pub p99: Vec<f64>,
    /// p99 lateness of the load generator in each round, in microseconds.
    pub lateness: Vec<f64>,
    /// The number of units in all rounds.
    pub units: u64,
    /// The number of failures in all rounds.
    pub failed: u64,
    /// Whether a round delivered clearly less than the pace of its streams, so that its cost is for a lower load.
    pub starved: bool,
    rounds: usize,
}

/// Paced streams that deliver less than this share of the due tokens, in percent, are starved.
const DELIVERED: u64 = 98;

/// Resident memory of one router, in bytes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Memory {
    /// Memory after the first few requests.
    pub idle: f64,
    /// Memory with [`STREAMS`] open streams.
    pub open: f64,
}

impl Memory {
    /// The memory of one open stream.
    #[must_use]
    pub fn stream(self) -> f64 {
        (self.open - self.idle).max(0.0) / STREAMS as f64
    }
}

/// All results of a run.
#[derive(Clone, Debug, Default)]
pub struct Results {
    /// The routers, in the order of the report.
    pub kinds: Vec<RouterKind>,
    cells: BTreeMap<(RouterKind, RelayWorkload), Cell>,
    memory: BTreeMap<RouterKind, Memory>,
    /// Routers that were not measured, with the reason.
    pub skipped: Vec<(RouterKind, String)>,
    /// Routers that did not do what their row says, with the difference.
    pub errors: Vec<(RouterKind, String)>,
}

impl Results {
    /// Records one window.
    pub fn add(&mut self, kind: &RouterKind, workload: RelayWorkload, window: Window) {
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

    /// Records the memory of a router, once.
    pub fn memory_of(&mut self, kind: &RouterKind, memory: Memory) {
        self.memory.entry(kind.clone()).or_insert(memory);
    }

    /// The rounds of one router under one workload.
    #[must_use]
    pub fn cell(&self, kind: &RouterKind, workload: RelayWorkload) -> Option<&Cell> {
        self.cells.get(&(kind.clone(), workload))
    }

    /// Median cost over the rounds, in microseconds per unit.
    #[must_use]
    pub fn cost(&self, kind: &RouterKind, workload: RelayWorkload) -> Option<f64> {
        Sample::new(self.cell(kind, workload)?.cost.clone()).median()
    }

    /// The memory of a router.
    #[must_use]
    pub fn memory(&self, kind: &RouterKind) -> Option<Memory> {
        self.memory.get(kind).copied()
    }

    /// Median over the rounds of a latency of the steady load, in microseconds.
    #[must_use]
    pub fn steady(&self, kind: &RouterKind, which: fn(&Cell) -> &Vec<f64>) -> Option<f64> {
        Sample::new(which(self.cell(kind, RelayWorkload::Steady)?).clone()).median()
    }

    /// The reasons why the figures of qoe-router are not valid. Empty: they are.
    #[must_use]
    pub fn ours_at_fault(&self) -> Vec<String> {
        let ours = |kind: &RouterKind| kind.is_ours();
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

    /// The rounds of qoe-router without a CPU figure.
    fn without_cost(&self) -> impl Iterator<Item = String> {
        let ours = self.cells.iter().filter(|((kind, workload), cell)| {
            kind.is_ours() && *workload != RelayWorkload::Steady && cell.cost.len() < cell.rounds
        });
        ours.map(|((kind, workload), cell)| {
            let missing = cell.rounds - cell.cost.len();
            format!("{}, {}: {missing} rounds without CPU figure", kind.name(), workload.name())
        })
    }

    /// The router, load and results of every cell with failures.
    pub fn failures(&self) -> impl Iterator<Item = (&RouterKind, RelayWorkload, &Cell)> {
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
        results.add(&RouterKind::Local, RelayWorkload::Unary, window());
        results.add(
            &RouterKind::Local,
            RelayWorkload::Steady,
            Window { units: 9, ..Window::default() },
        );
        results.add(
            &RouterKind::Envoy,
            RelayWorkload::Unary,
            Window { failed: 3, ..Window::default() },
        );
        results.skipped.push((RouterKind::VllmRouter, "it is not here".into()));
        assert_eq!(results.ours_at_fault(), Vec::<String>::new());
        results.add(
            &RouterKind::Local,
            RelayWorkload::Unary,
            Window { cpu: Duration::ZERO, ..window() },
        );
        results.add(&RouterKind::Local, RelayWorkload::Paced, Window { failed: 2, ..window() });
        results.skipped.push((RouterKind::Handoff, "no program".into()));
        results.errors.push((RouterKind::Handoff, "1 request was served locally".into()));
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
            results.add(
                &RouterKind::Envoy,
                RelayWorkload::Paced,
                Window { units, due: 1_000, ..window() },
            );
            results.cell(&RouterKind::Envoy, RelayWorkload::Paced).unwrap().starved
        };
        assert!(starved(979) && !starved(980));
    }
}
