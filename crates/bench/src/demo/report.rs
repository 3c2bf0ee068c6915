//! The comparison of two runs: the table, and in words what got better and what got worse.

use std::fmt::Write as _;

use crate::demo::summary::{ROWS, Row, Summary};
use crate::table::Table;

/// Changes below this share of the figure are called equal.
const NOTICEABLE: f64 = 0.05;

/// How a figure moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Better,
    Worse,
    Equal,
    /// Not measured on one side, or neither way is better.
    Unjudged,
}

/// Two runs under their names.
#[derive(Clone, Copy, Debug)]
pub struct Comparison<'a> {
    /// The run that is compared with.
    pub before: (&'a str, &'a Summary),
    /// The run that is judged.
    pub after: (&'a str, &'a Summary),
}

impl Comparison<'_> {
    /// The figures side by side.
    #[must_use]
    pub fn table(&self) -> Table {
        let mut table = Table::new(&["", self.before.0, self.after.0]);
        let requests = |summary: &Summary| format!("{} / {}", summary.ok, summary.failures.len());
        for row in &ROWS {
            let cell = |summary| show(row, (row.value)(summary));
            table.row(vec![row.name.into(), cell(self.before.1), cell(self.after.1)]);
        }
        let (before, after) = (requests(self.before.1), requests(self.after.1));
        table.row(vec!["requests ok / failed".into(), before, after]);
        table
    }

    /// What got better, what got worse, what stayed: computed from the figures.
    #[must_use]
    pub fn words(&self) -> String {
        let mut text = String::new();
        for (change, title, nothing) in [
            (Change::Better, "Better", "Nothing measured here got better."),
            (Change::Worse, "Worse", "Nothing measured here got worse."),
            (Change::Equal, "Equal within noise", ""),
        ] {
            let moved: Vec<_> = ROWS
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

    fn change(&self, row: &Row) -> Change {
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

    fn sentence(&self, row: &Row) -> String {
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

/// Shares and scores near their best move little in relation to themselves, and still matter.
fn is_count(row: &Row, difference: f64) -> bool {
    row.more_is_better == Some(true) && difference.abs() >= row.noise
}

fn show(row: &Row, value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.*}", row.digits))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Sample;

    fn summary(ttft: f64, itl: f64, sla_met: f64, failed: usize) -> Summary {
        Summary {
            ttft: Sample::new(vec![ttft]),
            itl: Sample::new(vec![itl]),
            sla_met,
            ok: 10,
            failures: vec!["status 503".into(); failed],
            ..Summary::default()
        }
    }

    fn words(before: &Summary, after: &Summary) -> String {
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
        assert!(
            text.contains("Nothing measured here got better.\nNothing measured here got worse."),
            "{text}"
        );
        assert!(line(&text, "Equal").contains("TTFT p99"), "{text}");
    }

    #[test]
    fn shares_near_their_best_are_judged_by_points() {
        let text = words(&summary(1.0, 1.0, 99.0, 0), &summary(1.0, 1.0, 98.0, 0));
        assert!(line(&text, "Worse").contains("SLA met, % 98.0 instead of 99.0"), "{text}");
    }

    #[test]
    fn the_table_has_a_dash_where_nothing_was_measured() {
        let (before, after) = (Summary::default(), summary(12.34, 5.0, 100.0, 1));
        let table = Comparison { before: ("a", &before), after: ("b", &after) }.table().markdown();
        assert!(table.contains("| TTFT p50, ms | – | 12.3 |"), "{table}");
        assert!(table.contains("| requests ok / failed | 0 / 0 | 10 / 1 |"), "{table}");
    }
}
