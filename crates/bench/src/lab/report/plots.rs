//! The pictures of one experiment.

use crate::lab::confidence::Confidence;
use crate::lab::outcome::{Moment, Outcome};
use crate::lab::report::axis::Axis;
use crate::lab::report::bars::Bars;
use crate::lab::report::chart::{Chart, Series};
use crate::lab::results::{ATTAINMENT, Experiment, Point, Sweep};
use crate::lab::summary::summarize::{PRIORITIES, Summary};
use crate::stats::Sample;

/// One picture. The name of its file consists of the experiment's name and `name`.
pub(super) struct Plot {
    pub(super) name: &'static str,
    pub(super) title: String,
    pub(super) svg: String,
    /// Whether it contains no data.
    empty: bool,
}

/// The number of points per curve. More cannot be distinguished at this size.
const STEPS: u32 = 200;

/// All pictures of an experiment, without those that have no data.
pub(super) fn plots(experiment: &Experiment) -> Vec<Plot> {
    let Some(rate) = experiment.focus() else { return Vec::new() };
    let mut plots = Vec::new();
    if experiment.rates().len() > 1 {
        let y = || Some(Axis::percent("requests, %"));
        let sla = |summary: &Summary| summary.sla_met * 100.0;
        let title = "Both targets met, against the rate of arrivals";
        plots.push(against_rate(experiment, "sla", title, y(), sla));
        let smooth = |summary: &Summary| summary.smooth * 100.0;
        let title = "Both targets met and no long pause, against the rate of arrivals";
        plots.push(against_rate(experiment, "smooth", title, y(), smooth));
        let title = "Goodput: requests that met both targets";
        plots.push(against_rate(experiment, "goodput", title, None, |summary| summary.goodput));
    }
    let ttft = |outcome: &Outcome| outcome.ttft;
    plots.push(distribution(experiment, rate, "ttft", "Time to first token", ttft));
    let itl = |outcome: &Outcome| outcome.itl;
    plots.push(distribution(
        experiment,
        rate,
        "itl",
        "Inter-token latency, mean of a request",
        itl,
    ));
    plots.push(by_priority(experiment, rate));
    plots.push(time_line(experiment, rate, "queued", "Waiting in the router", |m| m.queued));
    plots.push(time_line(experiment, rate, "in-flight", "In flight", |m| m.in_flight));
    plots.retain(|plot| !plot.empty);
    plots
}

/// One line for each policy with a point at `rate`.
fn lines(
    experiment: &Experiment,
    rate: f64,
    points: impl Fn(&Point) -> Vec<(f64, f64)>,
) -> Vec<Series> {
    let line = |(slot, sweep): (usize, &Sweep)| {
        let points = points(sweep.at(rate)?);
        Some(Series { slot, label: sweep.label.clone(), points, band: Vec::new(), dots: false })
    };
    experiment.sweeps.iter().enumerate().filter_map(line).collect()
}

fn xs(series: &[Series]) -> impl Iterator<Item = f64> {
    series.iter().flat_map(|series| series.points.iter().map(|point| point.0))
}

fn ys(series: &[Series]) -> impl Iterator<Item = f64> {
    let band = |series: &'_ Series| series.band.iter().map(|band| band.2).collect::<Vec<_>>();
    let points = |series: &'_ Series| series.points.iter().map(|point| point.1).collect::<Vec<_>>();
    series.iter().flat_map(move |series| points(series).into_iter().chain(band(series)))
}

fn against_rate(
    experiment: &Experiment,
    name: &'static str,
    title: &str,
    y: Option<Axis>,
    value: fn(&Summary) -> f64,
) -> Plot {
    let over = |point: &Point| Confidence::of(point.runs.iter().map(value).collect());
    let line = |(slot, sweep): (usize, &Sweep)| {
        let all: Vec<(f64, Confidence)> =
            sweep.points.iter().filter_map(|point| Some((point.rate, over(point)?))).collect();
        let band =
            |&(rate, of): &(f64, Confidence)| of.half.map(|_| (rate, of.range().0, of.range().1));
        Series {
            slot,
            label: sweep.label.clone(),
            points: all.iter().map(|&(rate, of)| (rate, of.mean)).collect(),
            band: all.iter().filter_map(band).collect(),
            dots: true,
        }
    };
    let series: Vec<Series> = experiment.sweeps.iter().enumerate().map(line).collect();
    let level = y.is_some().then_some(ATTAINMENT * 100.0);
    let y = y.unwrap_or_else(|| Axis::from_zero("requests a second", ys(&series)));
    let x = Axis::range("requests a second that arrive", xs(&series));
    Plot::of(name, Chart { title: title.to_owned(), x, y, level, series })
}

fn distribution(
    experiment: &Experiment,
    rate: f64,
    name: &'static str,
    title: &str,
    value: fn(&Outcome) -> Option<f64>,
) -> Plot {
    let series = lines(experiment, rate, |point| {
        let values = point.sample.outcomes.iter().filter_map(value).collect();
        curve(&Sample::new(values))
    });
    // The slowest requests would compress the rest of the curve to the left.
    let shown = |series: &Series| {
        series
            .points
            .iter()
            .filter(|point| point.1 <= 99.5)
            .map(|point| point.0)
            .collect::<Vec<_>>()
    };
    let x = Axis::log("milliseconds", series.iter().flat_map(shown));
    let y = Axis::percent("requests with a token, %");
    let title = format!("{title} at {rate} requests/s");
    Plot::of(name, Chart { title, x, y, level: None, series })
}

/// A cumulative distribution as (milliseconds, percent of requests within them).
fn curve(sample: &Sample) -> Vec<(f64, f64)> {
    let point = |step: u32| {
        let percent = f64::from(step) / f64::from(STEPS) * 100.0;
        Some((sample.percentile(percent)? * 1e3, percent))
    };
    (0..=STEPS).filter_map(point).collect()
}

fn time_line(
    experiment: &Experiment,
    rate: f64,
    name: &'static str,
    title: &str,
    value: fn(&Moment) -> u32,
) -> Plot {
    let series = lines(experiment, rate, |point| course(&point.sample.moments, value));
    let x = Axis::range("seconds", xs(&series).chain([0.0]));
    let y = Axis::from_zero("requests", ys(&series));
    let title = format!("{title} at {rate} requests/s");
    Plot::of(name, Chart { title, x, y, level: None, series })
}

/// The values over time. Long runs are reduced to the maximum of each interval, so that peaks stay visible.
fn course(moments: &[Moment], value: fn(&Moment) -> u32) -> Vec<(f64, f64)> {
    let stretch = moments.len().div_ceil(STEPS as usize).max(1);
    let highest = |moments: &[Moment]| {
        let most = moments.iter().map(value).max()?;
        Some((moments.first()?.at, f64::from(most)))
    };
    moments.chunks(stretch).filter_map(highest).collect()
}

fn by_priority(experiment: &Experiment, rate: f64) -> Plot {
    let met = |point: &Point, index: usize| {
        let shares = point.runs.iter().filter_map(|run| run.sla_by_priority[index]).collect();
        Confidence::of(shares).map(|share| share.mean * 100.0)
    };
    let group = |index: usize| {
        let values = experiment.sweeps.iter().map(|sweep| met(sweep.at(rate)?, index)).collect();
        (format!("{} priority", PRIORITIES[index].as_str()), values)
    };
    let some = |(_, values): &(String, Vec<Option<f64>>)| values.iter().any(Option::is_some);
    let title = format!("Both targets met, by priority, at {rate} requests/s");
    let bars = Bars {
        title: title.clone(),
        y: Axis::percent("requests, %"),
        groups: (0..PRIORITIES.len()).map(group).filter(some).collect(),
        labels: experiment.sweeps.iter().map(|sweep| sweep.label.clone()).collect(),
    };
    Plot { name: "priorities", title, svg: bars.svg(), empty: bars.groups.is_empty() }
}

impl Plot {
    fn of(name: &'static str, chart: Chart) -> Self {
        let empty = chart.series.iter().all(|series| series.points.is_empty());
        Self { name, svg: chart.svg(), title: chart.title, empty }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_course_keeps_its_peaks() {
        let moments: Vec<Moment> = (0..1_000)
            .map(|at| Moment {
                at: f64::from(at),
                queued: if at == 501 { 40 } else { 1 },
                ..Moment::default()
            })
            .collect();
        let course = course(&moments, |moment| moment.queued);
        assert_eq!(course.len(), 200);
        assert!(course.contains(&(500.0, 40.0)));
    }

    #[test]
    fn a_distribution_rises_to_all() {
        let curve = curve(&Sample::new(vec![0.3, 0.1, 0.2]));
        assert!(curve.is_sorted_by(|a, b| a.0 <= b.0 && a.1 < b.1));
        assert_eq!((curve[0], curve[200]), ((100.0, 0.0), (300.0, 100.0)));
        assert!(super::curve(&Sample::default()).is_empty());
    }
}
