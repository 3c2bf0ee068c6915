//! The figures of one run, and what each of them means.

use crate::demo::drive::Served;
use crate::demo::workload::Class;
use crate::stats::Sample;

/// What a run's users saw, together.
#[derive(Clone, Debug, Default)]
pub struct Summary {
    /// TTFT of all, milliseconds.
    pub ttft: Sample,
    /// TTFT of the short prompts: chats and agents.
    pub ttft_short: Sample,
    /// TTFT of the documents alone.
    pub ttft_document: Sample,
    /// Every gap between two text events, milliseconds.
    pub itl: Sample,
    /// QoE of every request, 0–1.
    pub qoe: Sample,
    /// QoE of the agents alone.
    pub qoe_agent: Sample,
    /// Lateness of the load generator, milliseconds.
    pub lateness: Sample,
    /// Shares of all requests, percent.
    pub sla_met: f64,
    /// Chats whose promise was kept, percent of the chats.
    pub sla_met_chat: f64,
    /// The same of the agents.
    pub sla_met_agent: f64,
    /// The same of the documents.
    pub sla_met_document: f64,
    /// Streams with a gap above [`STALL`], percent.
    pub stalled: f64,
    /// Requests whose phases ran on different endpoints, percent.
    pub handed_off: f64,
    /// Requests that ended well.
    pub ok: usize,
    /// Requests that did not, with the reasons of the first few.
    pub failures: Vec<String>,
}

/// A pause that a reader notices, milliseconds.
pub const STALL: f64 = 100.0;

impl Summary {
    /// Sums up a run.
    #[must_use]
    pub fn of(run: &[Served]) -> Self {
        let class = |class: Class| move |served: &Served| served.class == class;
        let short = |served: &Served| served.class != Class::Document;
        let met = |served: &Served| served.sla_met;
        Self {
            ttft: sample(run, |_| true, |served| served.ttft),
            ttft_short: sample(run, short, |served| served.ttft),
            ttft_document: sample(run, class(Class::Document), |served| served.ttft),
            itl: Sample::new(run.iter().flat_map(|served| served.gaps.iter().copied()).collect()),
            qoe: sample(run, |_| true, |served| Some(served.qoe)),
            qoe_agent: sample(run, class(Class::Agent), |served| Some(served.qoe)),
            lateness: sample(run, |_| true, |served| Some(served.lateness)),
            sla_met: share(run, |_| true, met),
            sla_met_chat: share(run, class(Class::Chat), met),
            sla_met_agent: share(run, class(Class::Agent), met),
            sla_met_document: share(run, class(Class::Document), met),
            stalled: share(run, |_| true, |served| served.gaps.iter().any(|&gap| gap > STALL)),
            handed_off: share(run, |_| true, |served| served.handed_off),
            ok: run.iter().filter(|served| served.failure.is_none()).count(),
            failures: run.iter().filter_map(|served| served.failure.clone()).collect(),
        }
    }
}

fn sample(
    run: &[Served],
    of: impl Fn(&Served) -> bool,
    value: impl Fn(&Served) -> Option<f64>,
) -> Sample {
    Sample::new(run.iter().filter(|served| of(served)).filter_map(value).collect())
}

fn share(run: &[Served], of: impl Fn(&Served) -> bool, what: impl Fn(&Served) -> bool) -> f64 {
    let all = run.iter().filter(|served| of(served)).count();
    let some = run.iter().filter(|served| of(served) && what(served)).count();
    some as f64 / all.max(1) as f64 * 100.0
}

/// One line of the comparison.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// What is shown, with its unit.
    pub name: &'static str,
    /// Digits behind the point.
    pub digits: usize,
    /// Whether more is better; `None` where neither is.
    pub more_is_better: Option<bool>,
    /// Differences below this are noise, in the row's unit.
    pub noise: f64,
    /// The figure.
    pub value: fn(&Summary) -> Option<f64>,
}

/// All lines of the comparison, in order.
pub const ROWS: [Row; 18] = [
    row("TTFT p50, ms", 1, Some(false), 2.0, |s| s.ttft.percentile(50.0)),
    row("TTFT p99, ms", 1, Some(false), 5.0, |s| s.ttft.percentile(99.0)),
    row("TTFT p50 of short prompts, ms", 1, Some(false), 2.0, |s| s.ttft_short.percentile(50.0)),
    row("TTFT p99 of short prompts, ms", 1, Some(false), 5.0, |s| s.ttft_short.percentile(99.0)),
    row("TTFT p50 of documents, ms", 1, Some(false), 5.0, |s| s.ttft_document.percentile(50.0)),
    row("TTFT p99 of documents, ms", 1, Some(false), 5.0, |s| s.ttft_document.percentile(99.0)),
    row("ITL p50, ms", 1, Some(false), 0.5, |s| s.itl.percentile(50.0)),
    row("ITL p99, ms", 1, Some(false), 1.0, |s| s.itl.percentile(99.0)),
    row("streams with a stall > 100 ms, %", 1, Some(false), 0.5, |s| Some(s.stalled)),
    row("QoE mean", 3, Some(true), 0.002, |s| s.qoe.mean()),
    row("QoE mean of agents", 3, Some(true), 0.002, |s| s.qoe_agent.mean()),
    row("QoE p10", 3, Some(true), 0.002, |s| s.qoe.percentile(10.0)),
    row("SLA met, %", 1, Some(true), 0.5, |s| Some(s.sla_met)),
    row("SLA met for chats, %", 1, Some(true), 0.5, |s| Some(s.sla_met_chat)),
    row("SLA met for agents, %", 1, Some(true), 0.5, |s| Some(s.sla_met_agent)),
    row("SLA met for documents, %", 1, Some(true), 0.5, |s| Some(s.sla_met_document)),
    row("requests failed", 0, Some(false), 0.5, |s| Some(s.failures.len() as f64)),
    row("handed off, %", 1, None, 0.0, |s| Some(s.handed_off)),
];

const fn row(
    name: &'static str,
    digits: usize,
    more_is_better: Option<bool>,
    noise: f64,
    value: fn(&Summary) -> Option<f64>,
) -> Row {
    Row { name, digits, more_is_better, noise, value }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn served(class: Class, ttft: f64, sla_met: bool, gaps: &[f64]) -> Served {
        let gaps = gaps.to_vec();
        let (failure, qoe) = (None, if sla_met { 1.0 } else { 0.5 });
        Served {
            class,
            lateness: 1.0,
            ttft: Some(ttft),
            gaps,
            qoe,
            sla_met,
            handed_off: false,
            failure,
        }
    }

    #[test]
    fn classes_are_summed_up_apart_and_together() {
        let run = [
            served(Class::Chat, 10.0, true, &[5.0, 6.0]),
            served(Class::Agent, 30.0, false, &[5.0, 250.0]),
            served(Class::Document, 400.0, true, &[]),
            Served {
                failure: Some("status 503".into()),
                ttft: None,
                handed_off: true,
                ..served(Class::Document, 0.0, false, &[])
            },
        ];
        let summary = Summary::of(&run);
        assert_eq!(summary.ttft_short.values(), [10.0, 30.0]);
        assert_eq!(summary.ttft.values().len(), 3);
        assert_eq!((summary.sla_met, summary.sla_met_chat, summary.stalled), (50.0, 100.0, 25.0));
        assert_eq!((summary.ok, summary.failures.len(), summary.handed_off), (3, 1, 25.0));
    }
}
