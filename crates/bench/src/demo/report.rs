//! The comparison of two runs as a table, and as a text about what improved and what got worse.

use std::fmt::Write as _;

use crate::demo::summary::{METRICS, Metric, RunSummary};
use crate::table::Table;

/// Changes below this share of a figure count as equal: repeated runs differ by about as much.
const NOTICEABLE: f64 = 0.05;

/// How a figure moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Better,
    Worse,
    Equal,
    /// One side was not measured, or neither direction is better.
    Unjudged,
}

/// Two runs with their names.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The baseline.
    pub before: (&'a str, &'a RunSummary),
    /// The run that is compared with the baseline.
    pub after: (&'a str, &'a RunSummary),
}

impl Comparison<'_> {
    /// The figures of both runs as a table.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["", self.before.0, self.after.0]);
        let requests =
            |summary: &RunSummary| format!("{} / {}", summary.ok, summary.failures.len());
        for row in &METRICS {
            let cell = |summary| show(row, (row.value)(summary));
            table.row(vec![row.name.into(), cell(self.before.1), cell(self.after.1)]);
        }
        let (before, after) = (requests(self.before.1), requests(self.after.1));
        table.row(vec!["requests ok / failed".into(), before, after]);
        table
    }

    /// A text about which figures improved, got worse, or stayed equal, computed from the figures.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = String::new();
        for (change, title, nothing) in [
            (Change::Better, "Better", "No figure improved."),
            (Change::Worse, "Worse", "No figure got worse."),
            (Change::Equal, "Equal within noise", ""),
        ] {
            let moved: Vec<_> = METRICS
                .iter()
                .filter(|row| self.change(row) == change)
                .map(|row| self.sentence(row))
                .collect();
            // Writing to a string cannot fail.
            let _ = match (moved.is_empty(), nothing.is_empty()) {
                (true, true) => Ok(()),
                (true, false) => writeln!(text, "{nothing}"),
                (false, _) => {
                    writeln!(text, "{title} with {}: {}.", self.after.0, moved.join("; "))
                }
            };
        }
        text
    }

    fn change(&self, row: &Metric) -> Change {
        let values = ((row.value)(self.before.1), (row.value)(self.after.1));
        let ((Some(before), Some(after)), Some(more_is_better)) = (values, row.more_is_better)
        else {
            return Change::Unjudged;
        };
        let difference = after - before;
        if difference.abs() < row.noise.max(before.abs() * NOTICEABLE) && !is_count(row, difference)
        {
            Change::Equal
        } else if (difference > 0.0) == more_is_better {
            Change::Better
        } else {
            Change::Worse
        }
    }

    fn sentence(&self, row: &Metric) -> String {
        let (before, after) = ((row.value)(self.before.1), (row.value)(self.after.1));
        let times = match (before, after) {
            (Some(before), Some(after)) if before > 0.0 && after > before * 2.0 => {
                format!(" ({:.1} ×)", after / before)
            }
            (Some(before), Some(after)) if after > 0.0 && before > after * 2.0 => {
                format!(" (÷ {:.1})", before / after)
            }
            _ => String::new(),
        };
        format!("{} {} instead of {}{times}", row.name, show(row, after), show(row, before))
    }
}

/// Whether a change is too small to report. Shares and scores near their best change little relative to themselves, so
/// the metric's own threshold decides for them.
fn is_count(row: &Metric, difference: f64) -> bool {
    row.more_is_better == Some(true) && difference.abs() >= row.noise
}

fn show(row: &Metric, value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.*}", row.digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Sample;

    fn summary(ttft: f64, itl: f64, sla_met: f64, failed: usize) -> RunSummary {
        RunSummary {
            ttft: Sample::new(vec![ttft]),
            itl: Sample::new(vec![itl]),
            sla_met,
            ok: 10,
            failures: vec!["status 503".into(); failed],
            ..RunSummary::default()
        }
    }

    fn words(before: &RunSummary, after: &RunSummary) -> String {
        Comparison { before: ("a", before), after: ("b", after) }.words()
    }

    fn line<'a>(words: &'a str, title: &str) -> &'a str {
        words.lines().find(|line| line.starts_with(title)).unwrap_or_default()
    }

    #[test]
    fn what_lost_is_said_as_plainly_as_what_won() {
        let text = words(&summary(100.0, 50.0, 90.0, 0), &summary(150.0, 10.0, 97.0, 2));
        assert!(
            line(&text, "Better").contains("ITL p99, ms 10.0 instead of 50.0 (÷ 5.0)"),
            "{text}"
        );
        assert!(line(&text, "Better").contains("SLA met, % 97.0 instead of 90.0"), "{text}");
        assert!(line(&text, "Worse").contains("TTFT p50, ms 150.0 instead of 100.0"), "{text}");
        assert!(line(&text, "Worse").contains("requests failed 2 instead of 0"), "{text}");
    }

    #[test]
    fn small_differences_are_no_change() {
        let text = words(&summary(100.0, 50.0, 90.0, 0), &summary(104.0, 49.0, 90.2, 0));
        assert!(text.contains("No figure improved.\nNo figure got worse."), "{text}");
        assert!(line(&text, "Equal").contains("TTFT p99"), "{text}");
    }

    #[test]
    fn shares_near_their_best_are_judged_by_points() {
        let text = words(&summary(1.0, 1.0, 99.0, 0), &summary(1.0, 1.0, 98.0, 0));
        assert!(line(&text, "Worse").contains("SLA met, % 98.0 instead of 99.0"), "{text}");
    }

    #[test]
    fn the_table_has_a_dash_where_nothing_was_measured() {
        let (before, after) = (RunSummary::default(), summary(12.34, 5.0, 100.0, 1));
        let table = Comparison { before: ("a", &before), after: ("b", &after) }.table().markdown();
        assert!(table.contains("| TTFT p50, ms | – | 12.3 |"), "{table}");
        assert!(table.contains("| requests ok / failed | 0 / 0 | 10 / 1 |"), "{table}");
    }
}
