//! What all rounds gave, by router and workload.

use std::collections::BTreeMap;

use super::load::Window;
use super::systems::Kind;
use super::workload::{STREAMS, Workload};
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
}

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
}

impl Results {
    /// Notes one window.
    pub fn add(&mut self, kind: &Kind, workload: Workload, window: Window) {
        let cell = self.cells.entry((kind.clone(), workload)).or_default();
        cell.units += window.units;
        cell.failed += window.failed;
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

    /// All failures: router, workload, failed, of how many.
    pub fn failures(&self) -> impl Iterator<Item = (&Kind, Workload, &Cell)> {
        let failed = self.cells.iter().filter(|(_, cell)| cell.failed > 0);
        failed.map(|((kind, workload), cell)| (kind, *workload, cell))
    }
}
