//! One of the two runs: its figures, the resources it used, and whether the figures can be trusted.

use anyhow::ensure;

use crate::demo::drive::Served;
use crate::demo::lineup::Variant;
use crate::demo::summary::RunSummary;

/// The p99 lateness of the load generator, in milliseconds, above which the figures are not trustworthy.
const LATE: f64 = 20.0;
/// The number of failures that are listed one by one.
const TOLD: usize = 3;

/// One run and the resources it used.
#[derive(Debug)]
pub struct Half {
    /// The servers of the run.
    pub variant: Variant,
    /// The latencies and outcomes that users saw.
    pub summary: RunSummary,
    /// Throughput and cores used, as text.
    pub effort: String,
    vanished: usize,
}

impl Half {
    /// Summarizes the `run` of `planned` requests.
    #[must_use]
    pub fn new(variant: Variant, planned: usize, run: &[Served], effort: String) -> Self {
        let summary = RunSummary::of(run);
        let vanished = planned.saturating_sub(summary.ok + summary.failures.len());
        Self { variant, summary, effort, vanished }
    }

    /// Lines for below the table: resources, lateness, and everything that went wrong.
    #[must_use]
    pub fn notes(&self) -> Vec<String> {
        let name = self.variant.title();
        let late = self.summary.lateness.percentile(99.0).unwrap_or(0.0);
        let mut notes =
            vec![format!("{name}: {}; load generator late by {late:.1} ms at p99", self.effort)];
        if late > LATE {
            notes.push(format!(
                "NOT TRUSTWORTHY: the load of `{name}` was sent late: use a larger or quieter machine"
            ));
        }
        if self.vanished > 0 {
            let count = self.vanished;
            notes.push(format!("NOT TRUSTWORTHY: {count} requests of `{name}` have no result"));
        }
        let failures = self.summary.failures.iter().take(TOLD);
        notes.extend(failures.map(|why| format!("a request of `{name}` failed: {why}")));
        let untold = self.summary.failures.len().saturating_sub(TOLD);
        if untold > 0 {
            notes.push(format!("{untold} more requests of `{name}` failed"));
        }
        notes
    }

    /// Checks that the run is valid: every request has a result, none failed, and the disaggregated run handed off.
    ///
    /// # Errors
    /// The first check that failed.
    pub fn judge(&self) -> anyhow::Result<()> {
        let (name, failed) = (self.variant.title(), self.summary.failures.len());
        ensure!(self.vanished == 0, "{} requests of `{name}` have no result", self.vanished);
        ensure!(failed == 0, "{failed} requests of `{name}` failed");
        let hands_off = self.variant == Variant::Disaggregated;
        ensure!(!hands_off || self.summary.handed_off > 0.0, "no request was handed off");
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::Class;
    use crate::demo::lineup::Baseline;

    const MIXED: Variant = Variant::Mixed(Baseline::RoundRobin);

    fn served(failure: Option<&str>, lateness: f64) -> Served {
        Served {
            class: Class::Chat,
            lateness,
            ttft: Some(10.0),
            gaps: Vec::new(),
            qoe: 1.0,
            sla_met: true,
            handed_off: false,
            failure: failure.map(str::to_owned),
        }
    }

    fn half(variant: Variant, planned: usize, run: &[Served]) -> Half {
        Half::new(variant, planned, run, "1 token/s".into())
    }

    #[test]
    fn requests_that_failed_or_vanished_are_faults_of_either_half() {
        let good = served(None, 0.0);
        assert!(half(MIXED, 1, std::slice::from_ref(&good)).judge().is_ok());
        let fault = |half: Half| half.judge().unwrap_err().to_string();
        assert!(fault(half(MIXED, 2, std::slice::from_ref(&good))).contains("1 requests"));
        assert!(fault(half(MIXED, 1, &[served(Some("status 503"), 0.0)])).contains("failed"));
        assert!(fault(half(Variant::Disaggregated, 1, &[good])).contains("handed off"));
    }

    #[test]
    fn what_speaks_against_the_figures_is_in_the_notes() {
        let run = vec![served(Some("status 503"), 21.0); 5];
        let notes = half(MIXED, 7, &run).notes().join("\n");
        for part in ["late by 21.0 ms", "was sent late", "2 requests", "status 503", "2 more"] {
            assert!(notes.contains(part), "{part}: {notes}");
        }
        assert_eq!(half(MIXED, 1, &[served(None, 19.0)]).notes().len(), 1);
    }
}
