//! The tables of a run: CPU, ratios, latency, memory, goals, and failures.

use crate::relay::goals::{goals, ratio};
use crate::relay::kind::RouterKind;
use crate::relay::results::{Cell, Results};
use crate::relay::workload::RelayWorkload;
use crate::stats::Sample;
use crate::table::Table;

/// One table and its title.
#[derive(Clone, Debug)]
pub struct Section {
    /// The title.
    pub title: &'static str,
    /// The table.
    pub table: Table,
}

/// All tables of a run, in order.
#[must_use]
pub fn sections(results: &Results) -> Vec<Section> {
    let mut sections = vec![
        Section {
            title: "CPU µs per request (paced streams: per token): median (min–max); *: the streams were slower than \
                    their pace, so the figure is for a lower load",
            table: costs(results),
        },
        Section { title: "Ratios of CPU, ours ÷ peer", table: ratios(results) },
        Section {
            title: "TTFT at a steady 200 rps (16-token streams), µs, and the part that the router adds",
            table: latencies(results),
        },
        Section { title: "Memory", table: memory(results) },
        Section { title: "Goals", table: goal_table(results) },
    ];
    let faults = faults(results);
    sections.extend(faults.map(|table| Section { title: "Not measured or failed", table }));
    sections
}

const COSTED: [RelayWorkload; 5] = [
    RelayWorkload::Unary,
    RelayWorkload::Burst16,
    RelayWorkload::Burst256,
    RelayWorkload::LongPrompt,
    RelayWorkload::Paced,
];

fn head(first: &'static str) -> Vec<&'static str> {
    std::iter::once(first).chain(COSTED.map(RelayWorkload::name)).collect()
}

fn routers(results: &Results) -> impl Iterator<Item = &RouterKind> {
    results.kinds.iter().filter(|kind| **kind != RouterKind::Direct)
}

fn costs(results: &Results) -> Table {
    let mut table = Table::new(&head("router"));
    for kind in routers(results) {
        let cell = |workload| {
            let cost = Sample::new(results.cell(kind, workload)?.cost.clone());
            let (low, high) = cost.range()?;
            let star = if starved(results, kind, workload) { "*" } else { "" };
            Some(format!("{:.1} ({low:.1}–{high:.1}){star}", cost.median()?))
        };
        let cells = COSTED.map(|workload| cell(workload).unwrap_or_else(dash));
        table.row(std::iter::once(kind.name().to_owned()).chain(cells).collect());
    }
    table
}

fn starved(results: &Results, kind: &RouterKind, workload: RelayWorkload) -> bool {
    results.cell(kind, workload).is_some_and(|cell| cell.starved)
}

fn ratios(results: &Results) -> Table {
    let mut table = Table::new(&head("ours ÷ peer"));
    let peers =
        || routers(results).filter(|kind| !matches!(kind, RouterKind::Local | RouterKind::Handoff));
    for ours in [RouterKind::Local, RouterKind::Handoff] {
        for peer in peers() {
            let cell =
                |workload| ratio(results.cost(&ours, workload), results.cost(peer, workload));
            let name = format!("{} ÷ {}", ours.name(), peer.name());
            let cells = COSTED.map(|workload| number(cell(workload), 2));
            table.row(std::iter::once(name).chain(cells).collect());
        }
    }
    table
}

fn latencies(results: &Results) -> Table {
    let mut table =
        Table::new(&["router", "p50", "p99", "added p50", "added p99", "sent late p99"]);
    let direct = |which| results.steady(&RouterKind::Direct, which);
    for kind in &results.kinds {
        let p50 = results.steady(kind, |cell: &Cell| &cell.p50);
        let p99 = results.steady(kind, |cell: &Cell| &cell.p99);
        let late = results.steady(kind, |cell: &Cell| &cell.lateness);
        let added =
            |of: Option<f64>, direct: Option<f64>| of.zip(direct).map(|(of, direct)| of - direct);
        let added_p50 = added(p50, direct(|cell: &Cell| &cell.p50));
        let added_p99 = added(p99, direct(|cell: &Cell| &cell.p99));
        let figures = [p50, p99, added_p50, added_p99, late].map(|figure| number(figure, 0));
        table.row(std::iter::once(kind.name().to_owned()).chain(figures).collect());
    }
    table
}

fn memory(results: &Results) -> Table {
    let mut table = Table::new(&["router", "idle, MB", "200 streams open, MB", "per stream, KB"]);
    for kind in routers(results) {
        let memory = results.memory(kind);
        table.row(vec![
            kind.name().to_owned(),
            number(memory.map(|memory| memory.idle / 1e6), 1),
            number(memory.map(|memory| memory.open / 1e6), 1),
            number(memory.map(|memory| memory.stream() / 1e3), 1),
        ]);
    }
    table
}

fn goal_table(results: &Results) -> Table {
    let mut table = Table::new(&["goal", "at most", "was", ""]);
    for goal in goals(results) {
        let was = number(goal.was, 2);
        table.row(vec![goal.what.clone(), goal.limit.to_string(), was, goal.verdict().into()]);
    }
    table
}

/// Everything that went wrong, as a table. `None`: nothing did.
fn faults(results: &Results) -> Option<Table> {
    let mut table = Table::new(&["router", "what"]);
    let empty = table.clone();
    for (kind, why) in &results.skipped {
        table.row(vec![kind.name().to_owned(), format!("skipped: {why}")]);
    }
    for (kind, what) in &results.errors {
        table.row(vec![kind.name().to_owned(), what.clone()]);
    }
    for (kind, workload, cell) in results.failures() {
        let what =
            format!("{}: {} failed beside {} good", workload.name(), cell.failed, cell.units);
        table.row(vec![kind.name().to_owned(), what]);
    }
    (table != empty).then_some(table)
}

fn number(value: Option<f64>, digits: usize) -> String {
    value.map_or_else(dash, |value| format!("{value:.digits$}"))
}

fn dash() -> String {
    "–".to_owned()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::relay::load::Window;

    #[test]
    fn figures_dashes_and_faults_are_shown() {
        let mut results = Results::default();
        results.kinds = vec![RouterKind::Direct, RouterKind::Local, RouterKind::Envoy];
        for (kind, cost) in [
            (RouterKind::Local, 50),
            (RouterKind::Local, 70),
            (RouterKind::Local, 60),
            (RouterKind::Envoy, 120),
        ] {
            let cpu = Duration::from_micros(cost * 100);
            let window = Window { units: 100, cpu, failed: 1, ..Window::default() };
            results.add(&kind, RelayWorkload::Unary, window);
        }
        let paced =
            Window { units: 97, due: 100, cpu: Duration::from_micros(97), ..Window::default() };
        results.add(&RouterKind::Envoy, RelayWorkload::Paced, paced);
        results.skipped.push((RouterKind::VllmRouter, "it is not here".into()));
        results.errors.push((RouterKind::Handoff, "2 requests were served locally".into()));
        let text: String =
            sections(&results).iter().map(|section| section.table.markdown()).collect();
        assert!(text.contains("| ours-local | 60.0 (50.0–70.0) | – |"), "{text}");
        assert!(text.contains("| ours-local ÷ envoy | 0.50 | – |"), "{text}");
        assert!(
            text.contains("| unary 2 KB, ours-local ÷ envoy | 0.6 | 0.50 | reached |"),
            "{text}"
        );
        assert!(text.contains("| 1.0 (1.0–1.0)* |"), "{text}");
        assert!(text.contains("| ours-handoff | 2 requests were served locally |"), "{text}");
        assert!(text.contains("| vllm-router | skipped: it is not here |"), "{text}");
        assert!(text.contains("| ours-local | unary 2 KB: 3 failed beside 300 good |"), "{text}");
    }
}
