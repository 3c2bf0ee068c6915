//! The figures of the lab and of the measured runs side by side, with a verdict on each.

use std::fmt::Write as _;

use crate::replay::facts::{BoundedFigure, FIGURES, Facts};
use crate::table::Table;

/// One run in real time.
#[derive(Clone, Debug)]
pub(super) struct Real {
    /// The router.
    pub(super) name: &'static str,
    /// The figures of the run.
    pub(super) facts: Facts,
    /// The resources used, and reasons to doubt the figures.
    pub(super) notes: Vec<String>,
}

/// The lab's figures for one policy, and those of the measured runs.
#[derive(Clone, Debug)]
pub(super) struct LabCheck {
    /// The name of the policy.
    pub(super) label: &'static str,
    /// The figures of the lab.
    pub(super) lab: Facts,
    /// The measured runs.
    pub(super) real: Vec<Real>,
}

impl LabCheck {
    /// The figures of the lab that are out of their bounds.
    #[must_use]
    pub(super) fn off(&self) -> Vec<String> {
        let mut off = Vec::new();
        for real in &self.real {
            for figure in &FIGURES {
                if let Some((lab, seen)) = self.both(figure, real)
                    && !figure.within.holds(lab, seen)
                {
                    let BoundedFigure { name, within, .. } = figure;
                    off.push(format!(
                        "{}: {name}: lab {lab:.1}, {} {seen:.1}; bound: {}",
                        self.label,
                        real.name,
                        within.show()
                    ));
                }
            }
        }
        off
    }

    fn both(&self, figure: &BoundedFigure, real: &Real) -> Option<(f64, f64)> {
        Some(((figure.value)(&self.lab)?, (figure.value)(&real.facts)?))
    }

    /// A table with a column for the lab, and two for each measured run.
    #[must_use]
    pub(super) fn table(&self) -> Table {
        let mut head = vec![self.label, "bound", "lab"];
        for real in &self.real {
            head.extend([real.name, "lab ÷ it", ""]);
        }
        let mut table = Table::new(&head);
        for figure in &FIGURES {
            let mut row = vec![figure.name.to_owned(), figure.within.show()];
            row.push(show((figure.value)(&self.lab)));
            for real in &self.real {
                row.push(show((figure.value)(&real.facts)));
                row.extend(match self.both(figure, real) {
                    Some((lab, seen)) => {
                        let ratio =
                            if seen == 0.0 { "–".into() } else { format!("{:.2}", lab / seen) };
                        let holds = figure.within.holds(lab, seen);
                        [ratio, if holds { "ok" } else { "OFF" }.to_owned()]
                    }
                    None => ["–".to_owned(), String::new()],
                });
            }
            table.row(row);
        }
        table
    }

    /// Notes for below the table, one per line.
    #[must_use]
    pub(super) fn notes(&self) -> String {
        let mut notes = String::new();
        for real in &self.real {
            for note in &real.notes {
                // Writing to a string cannot fail.
                let _ = writeln!(notes, "- {}: {note}", real.name);
            }
        }
        notes
    }
}

fn show(value: Option<f64>) -> String {
    value.map_or_else(|| "–".to_owned(), |value| format!("{value:.1}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lab::summary::summarize::{Percentiles, Summary};

    fn facts(ttft: f64) -> Facts {
        let percentiles = Percentiles { p50: Some(ttft), p90: Some(ttft), p99: Some(ttft) };
        let rest = Summary { ttft: percentiles, ..Summary::default() };
        Facts { rest, ..Facts::default() }
    }

    #[test]
    fn what_is_off_is_said_in_the_table_and_in_words() {
        let real = Real { name: "qoe-router", facts: facts(0.1), notes: vec!["0.5 cores".into()] };
        let comparison = LabCheck { label: "one", lab: facts(0.12), real: vec![real] };
        let off = comparison.off();
        assert_eq!(off.len(), 1, "the tail may be further off: {off:?}");
        assert!(off[0].contains("TTFT p50") && off[0].contains("lab 120.0"), "{off:?}");
        let table = comparison.table().to_string();
        assert!(table.contains("1.20  OFF") && table.contains("1.20   ok"), "{table}");
        assert_eq!(comparison.notes(), "- qoe-router: 0.5 cores\n");
    }
}
