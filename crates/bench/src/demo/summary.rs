//! The figures of one run, and their definitions.

use crate::demo::drive::Served;
use crate::demo::workload::Class;
use crate::stats::Sample;

/// The latencies and outcomes of all users of one run.
#[derive(Clone, Debug, Default)]
pub struct RunSummary {
    /// TTFT of all requests, in milliseconds.
    pub ttft: Sample,
    /// TTFT of chats and agents, which have short prompts.
    pub ttft_short: Sample,
    /// TTFT of the documents.
    pub ttft_document: Sample,
    /// Every gap between two text events, milliseconds.
    pub itl: Sample,
    /// QoE of every request, 0–1.
    pub qoe: Sample,
    /// QoE of the agents.
    pub qoe_agent: Sample,
    /// Lateness of the load generator, in milliseconds.
    pub lateness: Sample,
    /// Requests that met both targets, in percent of all requests.
    pub sla_met: f64,
    /// Chats that met both targets, in percent of the chats.
    pub sla_met_chat: f64,
    /// Agents' requests that met both targets, in percent of those.
    pub sla_met_agent: f64,
    /// Documents that met both targets, in percent of the documents.
    pub sla_met_document: f64,
    /// Streams with a gap above [`STALL`], in percent.
    pub stalled: f64,
    /// Requests that were handed off, in percent.
    pub handed_off: f64,
    /// The number of requests that ended with `[DONE]`.
    pub ok: usize,
    /// The reasons of the requests that failed.
    pub failures: Vec<String>,
}

/// A pause that a reader notices, milliseconds.
pub const STALL: f64 = 100.0;

impl RunSummary {
    /// Summarizes a run.
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
pub struct Metric {
    /// The name with its unit.
    pub name: &'static str,
    /// The number of decimals.
    pub digits: usize,
    /// Whether more is better. `None`: neither direction is.
    pub more_is_better: Option<bool>,
    /// Differences below this are noise, in the unit of the metric.
    pub noise: f64,
    /// Reads the figure from a run.
    pub value: fn(&RunSummary) -> Option<f64>,
}

/// All lines of the comparison, in order.
pub const METRICS: [Metric; 18] = [
    metric("TTFT p50, ms", 1, Some(false), 2.0, |s| s.ttft.percentile(50.0)),
    metric("TTFT p99, ms", 1, Some(false), 5.0, |s| s.ttft.percentile(99.0)),
    metric("TTFT p50 of short prompts, ms", 1, Some(false), 2.0, |s| s.ttft_short.percentile(50.0)),
    metric("TTFT p99 of short prompts, ms", 1, Some(false), 5.0, |s| s.ttft_short.percentile(99.0)),
    metric("TTFT p50 of documents, ms", 1, Some(false), 5.0, |s| s.ttft_document.percentile(50.0)),
    metric("TTFT p99 of documents, ms", 1, Some(false), 5.0, |s| s.ttft_document.percentile(99.0)),
    metric("ITL p50, ms", 1, Some(false), 0.5, |s| s.itl.percentile(50.0)),
    metric("ITL p99, ms", 1, Some(false), 1.0, |s| s.itl.percentile(99.0)),
    metric("streams with a stall > 100 ms, %", 1, Some(false), 0.5, |s| Some(s.stalled)),
    metric("QoE mean", 3, Some(true), 0.002, |s| s.qoe.mean()),
    metric("QoE mean of agents", 3, Some(true), 0.002, |s| s.qoe_agent.mean()),
    metric("QoE p10", 3, Some(true), 0.002, |s| s.qoe.percentile(10.0)),
    metric("SLA met, %", 1, Some(true), 0.5, |s| Some(s.sla_met)),
    metric("SLA met for chats, %", 1, Some(true), 0.5, |s| Some(s.sla_met_chat)),
    metric("SLA met for agents, %", 1, Some(true), 0.5, |s| Some(s.sla_met_agent)),
    metric("SLA met for documents, %", 1, Some(true), 0.5, |s| Some(s.sla_met_document)),
    metric("requests failed", 0, Some(false), 0.5, |s| Some(s.failures.len() as f64)),
    metric("handed off, %", 1, None, 0.0, |s| Some(s.handed_off)),
];

const fn metric(
    name: &'static str,
    digits: usize,
    more_is_better: Option<bool>,
    noise: f64,
    value: fn(&RunSummary) -> Option<f64>,
) -> Metric {
    Metric { name, digits, more_is_better, noise, value }
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
        let summary = RunSummary::of(&run);
        assert_eq!(summary.ttft_short.values(), [10.0, 30.0]);
        assert_eq!(summary.ttft.values().len(), 3);
        assert_eq!((summary.sla_met, summary.sla_met_chat, summary.stalled), (50.0, 100.0, 25.0));
        assert_eq!((summary.ok, summary.failures.len(), summary.handed_off), (3, 1, 25.0));
    }
}
