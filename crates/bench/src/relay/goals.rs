//! The cost goals of the router, and whether a run reached them.

use crate::relay::kind::RouterKind;
use crate::relay::results::{Cell, Results};
use crate::relay::workload::RelayWorkload;

/// One goal and the figure of a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// The name of the figure.
    pub what: String,
    /// The largest value that reaches the goal.
    pub limit: f64,
    /// The figure. `None`: one side of it was not measured.
    pub was: Option<f64>,
}

impl Goal {
    /// The verdict: `reached`, `NOT REACHED` or `not measured`.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.was {
            Some(was) if was <= self.limit => "reached",
            Some(_) => "NOT REACHED",
            None => "not measured",
        }
    }
}

const EXCHANGES: [RelayWorkload; 4] = [
    RelayWorkload::Unary,
    RelayWorkload::Burst16,
    RelayWorkload::Burst256,
    RelayWorkload::LongPrompt,
];

/// All goals with the figures of a run.
#[must_use]
pub fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for workload in RelayWorkload::ALL {
        let limit = match workload {
            RelayWorkload::Unary | RelayWorkload::LongPrompt | RelayWorkload::Paced => 0.6,
            RelayWorkload::Burst16 | RelayWorkload::Burst256 => 1.0,
            RelayWorkload::Steady => continue,
        };
        goals.push(cost(results, workload, (&RouterKind::Local, &RouterKind::Envoy), limit));
    }
    for workload in EXCHANGES {
        goals.push(cost(results, workload, (&RouterKind::Handoff, &RouterKind::VllmRouterPd), 0.2));
    }
    // Two rounds of the same router differ by a tenth here.
    goals.push(cost(
        results,
        RelayWorkload::Paced,
        (&RouterKind::Handoff, &RouterKind::Local),
        1.1,
    ));
    goals.extend(memory(results));
    goals.push(Goal {
        what: "TTFT p99 at a steady 200 rps, local ÷ envoy".into(),
        limit: 1.0,
        was: ratio(p99(results, &RouterKind::Local), p99(results, &RouterKind::Envoy)),
    });
    goals
}

fn p99(results: &Results, kind: &RouterKind) -> Option<f64> {
    results.steady(kind, |cell: &Cell| &cell.p99)
}

fn cost(
    results: &Results,
    workload: RelayWorkload,
    (of, to): (&RouterKind, &RouterKind),
    limit: f64,
) -> Goal {
    let was = ratio(results.cost(of, workload), results.cost(to, workload));
    Goal { what: format!("{}, {} ÷ {}", workload.name(), of.name(), to.name()), limit, was }
}

fn memory(results: &Results) -> [Goal; 2] {
    let memory = results.memory(&RouterKind::Local);
    [
        Goal { what: "RSS idle, MB".into(), limit: 40.0, was: memory.map(|m| m.idle / 1e6) },
        Goal {
            what: "RSS per open stream, KB".into(),
            limit: 20.0,
            was: memory.map(|m| m.stream() / 1e3),
        },
    ]
}

/// The ratio of two figures, if both were measured.
pub(super) fn ratio(of: Option<f64>, to: Option<f64>) -> Option<f64> {
    to.filter(|&to| to > 0.0).and_then(|to| of.map(|of| of / to))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::relay::load::Window;
    use crate::relay::results::Memory;

    fn window(microseconds: u64, latency: f64) -> Window {
        let cpu = Duration::from_micros(microseconds * 10);
        Window { units: 10, cpu, latencies: vec![latency], ..Window::default() }
    }

    #[test]
    fn goals_are_judged_by_the_run() {
        let mut results = Results::default();
        results.add(&RouterKind::Local, RelayWorkload::Unary, window(60, 1.0));
        results.add(&RouterKind::Envoy, RelayWorkload::Unary, window(150, 1.0));
        results.add(&RouterKind::Local, RelayWorkload::Burst16, window(90, 1.0));
        results.add(&RouterKind::Envoy, RelayWorkload::Burst16, window(80, 1.0));
        results.add(&RouterKind::Local, RelayWorkload::Steady, window(1, 300.0));
        results.add(&RouterKind::Envoy, RelayWorkload::Steady, window(1, 400.0));
        results.memory_of(&RouterKind::Local, Memory { idle: 30e6, open: 38e6 });
        let verdict = |name: &str| {
            goals(&results).iter().find(|goal| goal.what.starts_with(name)).map(Goal::verdict)
        };
        assert_eq!(verdict("unary 2 KB, ours-local"), Some("reached"));
        assert_eq!(verdict("16-chunk burst, ours-local"), Some("NOT REACHED"));
        assert_eq!(verdict("unary 2 KB, ours-handoff"), Some("not measured"));
        assert_eq!(verdict("RSS idle"), Some("reached"));
        assert_eq!(verdict("RSS per open stream"), Some("NOT REACHED"), "40 KB");
        assert_eq!(verdict("TTFT p99"), Some("reached"));
    }
}
