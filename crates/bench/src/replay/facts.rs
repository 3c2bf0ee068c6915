//! What a run came to, in the lab or in real time: the figures that are held against each other, and how far apart
//! they may be.

use crate::lab::outcome::{Outcome, Run};
use crate::lab::summary::summarize::Summary;

/// The figures of one run.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Facts {
    /// Of requests that were alone.
    pub(super) alone: Summary,
    /// Of all others.
    pub(super) rest: Summary,
    /// Share of the prompt tokens that were computed: all but those found in a prefix cache.
    pub(super) computed: Option<f64>,
    /// Whether it is known who was handed over.
    pub(super) knows_handoffs: bool,
}

impl Facts {
    /// Of all `outcomes`, the first `alone` of them alone; `computed` prompt tokens were computed.
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

/// How far the lab may be off.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Within {
    /// So many percent, or milliseconds if that is more.
    Percent(f64, f64),
    /// So many points of a percentage.
    Points(f64),
    /// As far as it likes: too few requests make it.
    Any,
}

/// One figure, in the unit of its name.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// What it is.
    pub(super) name: &'static str,
    /// How far the lab may be off.
    pub(super) within: Within,
    /// Its value in a run that has it.
    pub(super) value: fn(&Facts) -> Option<f64>,
}

const MS: f64 = 1e3;
/// What is not in the model and is no fault of it: timers that fire on whole milliseconds, a busy machine.
const SLACK: f64 = 3.0;

/// All of them.
pub(super) const FIGURES: [Figure; 12] = [
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

const fn figure(name: &'static str, within: Within, value: fn(&Facts) -> Option<f64>) -> Figure {
    Figure { name, within, value }
}

impl Within {
    /// Whether `lab` is near enough to what was `seen`.
    #[must_use]
    pub(super) fn holds(self, lab: f64, seen: f64) -> bool {
        let off = (lab - seen).abs();
        match self {
            Self::Percent(percent, least) => off <= (seen.abs() * percent / 100.0).max(least),
            Self::Points(points) => off <= points,
            Self::Any => true,
        }
    }

    /// In words.
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
