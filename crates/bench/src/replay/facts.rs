//! The figures of a run, in the lab or in real time, and how much the two may differ.

use crate::lab::outcome::{Outcome, Run};
use crate::lab::summary::summarize::Summary;

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// The figures of the requests that were sent one at a time.
    pub(super) alone: Summary,
    /// The figures of all other requests.
    pub(super) rest: Summary,
    /// The share of prompt tokens that were computed, because no prefix cache had them.
    pub(super) computed: Option<f64>,
    /// Whether the run reports handoffs.
    pub(super) knows_handoffs: bool,
}

impl Facts {
    /// Summarizes `outcomes`. The first `alone` requests were sent one at a time; `computed` is the number of computed
    /// prompt tokens.
    #[must_use]
    pub(super) fn of(
        outcomes: &[Outcome],
        alone: usize,
        computed: f64,
        knows_handoffs: bool,
    ) -> Self {
        let (first, rest) = outcomes.split_at(alone.min(outcomes.len()));
        let summary = |outcomes: &[Outcome]| {
            Summary::of(&Run { outcomes: outcomes.to_vec(), ..Run::default() }, 0.0)
        };
        let prompts: f64 = outcomes.iter().map(|outcome| f64::from(outcome.prompt_tokens)).sum();
        let computed = (prompts > 0.0).then(|| computed / prompts);
        Self { alone: summary(first), rest: summary(rest), computed, knows_handoffs }
    }
}

/// The bound for the difference between the lab and a measured run.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Within {
    /// At most this percentage, or this many milliseconds if that is more.
    Percent(f64, f64),
    /// At most this many percentage points.
    Points(f64),
    /// No bound, because too few requests determine the figure.
    Any,
}

/// One figure with its bound, in the unit of its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct BoundedFigure {
    /// The name with the unit.
    pub(super) name: &'static str,
    /// The bound.
    pub(super) within: Within,
    /// Reads the figure from a run, if the run has it.
    pub(super) value: fn(&Facts) -> Option<f64>,
}

const MS: f64 = 1e3;
/// Milliseconds that the model leaves out on purpose: timers with millisecond resolution, and a busy machine.
const SLACK: f64 = 3.0;

/// All compared figures.
pub(super) const FIGURES: [BoundedFigure; 12] = [
    figure("alone: TTFT ms", MEDIAN, |f| Some(f.alone.ttft.p50? * MS)),
    figure("alone: ITL ms", MEDIAN, |f| Some(f.alone.itl.p50? * MS)),
    figure("TTFT p50 ms", MEDIAN, |f| Some(f.rest.ttft.p50? * MS)),
    figure("TTFT p90 ms", TAIL, |f| Some(f.rest.ttft.p90? * MS)),
    figure("TTFT p99 ms", Within::Any, |f| Some(f.rest.ttft.p99? * MS)),
    figure("ITL p50 ms", MEDIAN, |f| Some(f.rest.itl.p50? * MS)),
    figure("ITL p90 ms", TAIL, |f| Some(f.rest.itl.p90? * MS)),
    figure("ITL p99 ms", Within::Any, |f| Some(f.rest.itl.p99? * MS)),
    figure("E2E p50 ms", MEDIAN, |f| Some(f.rest.e2e.p50? * MS)),
    figure("SLA met %", Within::Points(3.0), |f| Some(f.rest.sla_met * 100.0)),
    figure("handed off %", Within::Points(5.0), |f| {
        f.knows_handoffs.then_some(f.rest.handed_off * 100.0)
    }),
    figure("prompt computed %", Within::Points(3.0), |f| Some(f.computed? * 100.0)),
];

const MEDIAN: Within = Within::Percent(15.0, SLACK);
const TAIL: Within = Within::Percent(25.0, 2.0 * SLACK);

const fn figure(
    name: &'static str,
    within: Within,
    value: fn(&Facts) -> Option<f64>,
) -> BoundedFigure {
    BoundedFigure { name, within, value }
}

impl Within {
    /// Whether the lab's figure is within the bound of the measured one.
    #[must_use]
    pub(super) fn holds(self, lab: f64, seen: f64) -> bool {
        let off = (lab - seen).abs();
        match self {
            Self::Percent(percent, least) => off <= (seen.abs() * percent / 100.0).max(least),
            Self::Points(points) => off <= points,
            Self::Any => true,
        }
    }

    /// The bound as text for the table.
    #[must_use]
    pub(super) fn show(self) -> String {
        match self {
            Self::Percent(percent, least) => format!("{percent:.0} %, {least:.0} ms"),
            Self::Points(points) => format!("{points:.0} points"),
            Self::Any => "–".to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_are_shares_of_what_was_seen_with_a_floor() {
        let cases = [
            (Within::Percent(15.0, 3.0), 114.0, 100.0, true),
            (Within::Percent(15.0, 3.0), 84.0, 100.0, false),
            (Within::Percent(15.0, 3.0), 7.0, 10.0, true),
            (Within::Percent(15.0, 3.0), 6.9, 10.0, false),
            (Within::Points(3.0), 97.0, 100.0, true),
            (Within::Points(3.0), 96.9, 100.0, false),
            (Within::Any, 1.0, 100.0, true),
        ];
        for (within, lab, seen, holds) in cases {
            assert_eq!(within.holds(lab, seen), holds, "{within:?} {lab} {seen}");
        }
    }
}
