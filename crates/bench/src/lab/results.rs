//! The results of the lab's experiments: several policies at several rates over several seeds.

use crate::lab::confidence::Confidence;
use crate::lab::outcome::Run;
use crate::lab::summary::figures::Figure;
use crate::lab::summary::summarize::Summary;

/// The results of one experiment: one cluster and one workload under several policies.
#[derive(Clone, Debug, PartialEq)]
pub struct Experiment {
    /// The name, on the command line and of its files.
    pub name: String,
    /// The question in one line.
    pub title: String,
    /// The conditions: cluster, engines, workload, seeds.
    pub conditions: Vec<String>,
    /// The results by policy, all with the same rates. The product's default is first, because pictures draw the first
    /// line unbroken.
    pub sweeps: Vec<Sweep>,
}

/// One policy at several rates.
#[derive(Clone, Debug, PartialEq)]
pub struct Sweep {
    /// The policy's name.
    pub label: String,
    /// Whether this is the product's default policy.
    pub ours: bool,
    /// The points by ascending rate.
    pub points: Vec<Point>,
}

/// One policy at one rate.
#[derive(Clone, Debug, PartialEq)]
pub struct Point {
    /// The mean rate of arrivals, in requests per second.
    pub rate: f64,
    /// One summary per seed. All policies have the same seeds in the same order.
    pub runs: Vec<Summary>,
    /// The run of the first seed, for plots.
    pub sample: Run,
}

/// Goodput is the highest rate at which at least this share of the requests meets the SLO, as in DistServe.
pub const ATTAINMENT: f64 = 0.9;

/// The highest rate at which [`ATTAINMENT`] was reached.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Limit {
    /// Not reached at the lowest rate, which is this.
    Below(f64),
    /// Reached up to this rate, interpolated between two rates that were run.
    At(f64),
    /// Reached at the highest rate, which is this.
    AtLeast(f64),
}

/// What a request must meet to count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Promise {
    /// The TTFT and ITL targets.
    Sla,
    /// And no pause between two tokens is long.
    Smooth,
}

impl Promise {
    /// All variants.
    pub const ALL: [Self; 2] = [Self::Sla, Self::Smooth];

    /// The name of the figure, with its unit.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Sla => "SLA met %",
            Self::Smooth => "smooth %",
        }
    }

    /// The share of requests that met it.
    #[must_use]
    pub const fn kept(self, summary: &Summary) -> f64 {
        match self {
            Self::Sla => summary.sla_met,
            Self::Smooth => summary.smooth,
        }
    }
}

impl Point {
    /// A figure at this point over the seeds.
    #[must_use]
    pub fn figure(&self, figure: &Figure) -> Option<Confidence> {
        figure.over(&self.runs)
    }

    /// The share of requests that met `promise`, over the seeds.
    #[must_use]
    pub fn kept(&self, promise: Promise) -> Option<Confidence> {
        Confidence::of(self.runs.iter().map(|run| promise.kept(run)).collect())
    }
}

impl Sweep {
    /// The highest rate at which at least 90 % of the requests met `promise`. `None`: nothing was run.
    #[must_use]
    pub fn goodput_rate(&self, promise: Promise) -> Option<Limit> {
        let met = |point: &Point| Some((point.rate, point.kept(promise)?.mean));
        let points: Vec<(f64, f64)> = self.points.iter().filter_map(met).collect();
        let (lowest, _) = *points.first()?;
        // With noise the share may dip and recover. The last rate that reaches the share decides.
        let Some(last) = points.iter().rposition(|&(_, met)| met >= ATTAINMENT) else {
            return Some(Limit::Below(lowest));
        };
        let (rate, met) = points[last];
        let Some(&(next_rate, next_met)) = points.get(last + 1) else {
            return Some(Limit::AtLeast(rate));
        };
        // The share crosses the threshold between these two rates. It is taken as linear between them.
        Some(Limit::At(rate + (next_rate - rate) * (met - ATTAINMENT) / (met - next_met)))
    }

    /// The point at `rate`.
    #[must_use]
    pub fn at(&self, rate: f64) -> Option<&Point> {
        // Rates come from the command line, so equal ones differ at most by rounding.
        self.points.iter().find(|point| (point.rate - rate).abs() < 1e-9)
    }
}

impl Experiment {
    /// All rates that were run, ascending.
    #[must_use]
    pub fn rates(&self) -> Vec<f64> {
        let points = self.sweeps.iter().flat_map(|sweep| &sweep.points);
        let mut rates: Vec<f64> = points.map(|point| point.rate).collect();
        rates.sort_by(f64::total_cmp);
        rates.dedup();
        rates
    }

    /// The rate for tables and distributions: the highest at which any policy reached [`ATTAINMENT`], because policies
    /// differ most there. If none did, the lowest rate.
    #[must_use]
    pub fn focus(&self) -> Option<f64> {
        let reached = |&rate: &f64| {
            let points = self.sweeps.iter().filter_map(|sweep| sweep.at(rate)?.kept(Promise::Sla));
            points.into_iter().any(|met| met.mean >= ATTAINMENT)
        };
        let rates = self.rates();
        rates.iter().copied().rfind(reached).or_else(|| rates.first().copied())
    }

    /// The point of each policy at `rate`, if it has one.
    pub fn points(&self, rate: f64) -> impl Iterator<Item = (&Sweep, &Point)> {
        self.sweeps.iter().filter_map(move |sweep| Some((sweep, sweep.at(rate)?)))
    }
}

impl Limit {
    /// The limit as text in requests per second: `6.40`, `< 2`, `≥ 8`.
    #[must_use]
    pub fn show(self) -> String {
        match self {
            Self::Below(rate) => format!("< {rate}"),
            Self::At(rate) => format!("{rate:.2}"),
            Self::AtLeast(rate) => format!("≥ {rate}"),
        }
    }

    /// The rate for comparisons. A limit below the lowest rate counts as 0.
    #[must_use]
    pub fn value(self) -> f64 {
        match self {
            Self::Below(_) => 0.0,
            Self::At(rate) | Self::AtLeast(rate) => rate,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sweep(points: &[(f64, f64)]) -> Sweep {
        let point = |&(rate, sla_met): &(f64, f64)| {
            let off =
                [0.01, -0.01].map(|off| Summary { sla_met: sla_met + off, ..Summary::default() });
            Point { rate, runs: off.to_vec(), sample: Run::default() }
        };
        Sweep { label: "one".into(), ours: false, points: points.iter().map(point).collect() }
    }

    #[test]
    fn the_limit_lies_between_the_rates_that_were_run() {
        let Some(Limit::At(rate)) =
            sweep(&[(2.0, 1.0), (4.0, 0.95), (6.0, 0.85)]).goodput_rate(Promise::Sla)
        else {
            panic!("reached and exceeded");
        };
        assert!((rate - 5.0).abs() < 1e-9, "{rate}");
        let limit = |points| sweep(points).goodput_rate(Promise::Sla).map(Limit::show);
        assert_eq!(limit(&[(2.0, 0.5), (4.0, 0.2)]), Some("< 2".into()));
        assert_eq!(limit(&[(2.0, 1.0), (4.0, 0.93)]), Some("≥ 4".into()));
        assert_eq!(limit(&[]), None);
    }

    #[test]
    fn the_focus_is_where_the_last_policy_still_keeps_its_promise() {
        let experiment = |sweeps| Experiment {
            name: "e".into(),
            title: "t".into(),
            conditions: Vec::new(),
            sweeps,
        };
        let good = sweep(&[(2.0, 1.0), (4.0, 0.95), (6.0, 0.5)]);
        let bad = sweep(&[(2.0, 0.8), (4.0, 0.6), (6.0, 0.5)]);
        assert_eq!(experiment(vec![good, bad.clone()]).focus(), Some(4.0));
        assert_eq!(experiment(vec![bad]).focus(), Some(2.0));
        assert_eq!(experiment(Vec::new()).focus(), None);
    }
}
