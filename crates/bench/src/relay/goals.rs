//! What we want the router to cost, and whether this run reached it.

use crate::relay::kind::Kind;
use crate::relay::results::{Cell, Results};
use crate::relay::workload::Workload;

/// One goal, held against a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Goal {
    /// What is wanted, in words.
    pub what: String,
    /// The most it may be.
    pub limit: f64,
    /// What it was; `None` if one side of it was not measured.
    pub was: Option<f64>,
}

impl Goal {
    /// `reached`, `not reached` or `not measured`.
    #[must_use]
    pub fn verdict(&self) -> &'static str {
        match self.was {
            Some(was) if was <= self.limit => "reached",
            Some(_) => "NOT REACHED",
            None => "not measured",
        }
    }
}

const EXCHANGES: [Workload; 4] =
    [Workload::Unary, Workload::Burst16, Workload::Burst256, Workload::LongPrompt];

/// All goals with the figures of this run.
#[must_use]
pub fn goals(results: &Results) -> Vec<Goal> {
    let mut goals = Vec::new();
    for workload in Workload::ALL {
        let limit = match workload {
            Workload::Unary | Workload::LongPrompt | Workload::Paced => 0.6,
            Workload::Burst16 | Workload::Burst256 => 1.0,
            Workload::Steady => continue,
        };
        goals.push(cost(results, workload, (&Kind::Local, &Kind::Envoy), limit));
    }
    for workload in EXCHANGES {
        goals.push(cost(results, workload, (&Kind::Handoff, &Kind::VllmRouterPd), 0.2));
    }
    // A tenth is what two rounds of the same router differ by here.
    goals.push(cost(results, Workload::Paced, (&Kind::Handoff, &Kind::Local), 1.1));
    goals.extend(memory(results));
    goals.push(Goal {
        what: "TTFT p99 at a steady 200 rps, local ÷ envoy".into(),
        limit: 1.0,
        was: ratio(p99(results, &Kind::Local), p99(results, &Kind::Envoy)),
    });
    goals
}

fn p99(results: &Results, kind: &Kind) -> Option<f64> {
    results.steady(kind, |cell: &Cell| &cell.p99)
}

fn cost(results: &Results, workload: Workload, (of, to): (&Kind, &Kind), limit: f64) -> Goal {
    let was = ratio(results.cost(of, workload), results.cost(to, workload));
    Goal { what: format!("{}, {} ÷ {}", workload.name(), of.name(), to.name()), limit, was }
}

fn memory(results: &Results) -> [Goal; 2] {
    let memory = results.memory(&Kind::Local);
    [
        Goal { what: "RSS idle, MB".into(), limit: 40.0, was: memory.map(|m| m.idle / 1e6) },
        Goal {
            what: "RSS an open stream, KB".into(),
            limit: 20.0,
            was: memory.map(|m| m.stream() / 1e3),
        },
    ]
}

/// One figure over another, where both were measured.
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
        results.add(&Kind::Local, Workload::Unary, window(60, 1.0));
        results.add(&Kind::Envoy, Workload::Unary, window(150, 1.0));
        results.add(&Kind::Local, Workload::Burst16, window(90, 1.0));
        results.add(&Kind::Envoy, Workload::Burst16, window(80, 1.0));
        results.add(&Kind::Local, Workload::Steady, window(1, 300.0));
        results.add(&Kind::Envoy, Workload::Steady, window(1, 400.0));
        results.memory_of(&Kind::Local, Memory { idle: 30e6, open: 38e6 });
        let verdict = |name: &str| {
            goals(&results).iter().find(|goal| goal.what.starts_with(name)).map(Goal::verdict)
        };
        assert_eq!(verdict("unary 2 KB, ours-local"), Some("reached"));
        assert_eq!(verdict("16-chunk burst, ours-local"), Some("NOT REACHED"));
        assert_eq!(verdict("unary 2 KB, ours-handoff"), Some("not measured"));
        assert_eq!(verdict("RSS idle"), Some("reached"));
        assert_eq!(verdict("RSS an open stream"), Some("NOT REACHED"), "40 KB");
        assert_eq!(verdict("TTFT p99"), Some("reached"));
    }
}
