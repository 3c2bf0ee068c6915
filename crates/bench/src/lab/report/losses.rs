//! The figures in which the product's default is worse than the best other policy, found by a rule so that none is
//! omitted.

use crate::lab::confidence::Confidence;
use crate::lab::results::{Experiment, Point, Promise, Sweep};
use crate::lab::summary::figures::{Better, FIGURES, Figure};
use crate::table::Table;

/// A figure in which the default policy is worse.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Loss {
    /// The figure.
    pub(super) figure: &'static str,
    /// The rates at which it is worse. Empty if the figure is itself a rate.
    pub(super) rates: Vec<f64>,
    /// The rate at which it is worst, relative to the best other policy.
    pub(super) worst: Option<f64>,
    /// The default's value at that rate.
    pub(super) ours: String,
    /// The best other value at that rate.
    pub(super) best: String,
    /// The policy with the best value.
    pub(super) whose: String,
}

/// Differences below this share are not losses.
const LEAST: f64 = 0.02;

/// The rule, as reports print it.
pub(super) const RULE: &str = "A figure is listed where the product's default is worse than the best of all other \
     policies, whichever that is for the figure, by more than 2 % and by more than the 95 % interval of the difference \
     between the two (by seed, as all policies play the same requests); differences that nobody would notice (such as 0.2 ms \
     of ITL, 2 ms of TTFT or half a percent of the requests) are left out. Without several seeds there is no interval.";

/// All losses of an experiment, one per figure, at its worst rate.
pub(super) fn losses(experiment: &Experiment) -> Vec<Loss> {
    let Some(ours) = experiment.sweeps.iter().find(|sweep| sweep.ours) else { return Vec::new() };
    let others: Vec<&Sweep> = experiment.sweeps.iter().filter(|sweep| !sweep.ours).collect();
    let figures = FIGURES.iter().filter(|figure| figure.better != Better::Neither);
    let limits = Promise::ALL.into_iter().filter_map(|promise| limit(promise, ours, &others));
    limits.chain(figures.filter_map(|f| loss(f, ours, &others))).collect()
}

/// The loss in goodput rate, if another policy has a higher one.
fn limit<'a>(promise: Promise, ours: &Sweep, others: &[&'a Sweep]) -> Option<Loss> {
    let own = ours.goodput_rate(promise)?;
    let limit = |sweep: &&'a Sweep| Some((*sweep, sweep.goodput_rate(promise)?));
    let limits = others.iter().filter_map(limit);
    let (sweep, best) = limits.max_by(|one, two| one.1.value().total_cmp(&two.1.value()))?;
    (best.value() > own.value() * (1.0 + LEAST)).then(|| Loss {
        figure: match promise {
            Promise::Sla => "rate with SLA met ≥ 90 %",
            Promise::Smooth => "rate with smooth ≥ 90 %",
        },
        rates: Vec::new(),
        worst: None,
        ours: own.show(),
        best: best.show(),
        whose: sweep.label.clone(),
    })
}

/// A figure of the default and of the best other policy at one rate.
struct Pair<'a> {
    rate: f64,
    ours: Confidence,
    best: Confidence,
    whose: &'a Sweep,
}

fn loss(figure: &Figure, ours: &Sweep, others: &[&Sweep]) -> Option<Loss> {
    let lost: Vec<Pair<'_>> =
        ours.points.iter().filter_map(|point| lost_at(figure, point, others)).collect();
    let by = |pair: &Pair<'_>| {
        // A best value of 0 would make every loss infinite, so the noise of the figure bounds the divisor.
        let least = pair.best.mean.abs().max(figure.noise).max(f64::MIN_POSITIVE);
        figure.worse_by(pair.ours.mean, pair.best.mean) / least
    };
    let worst = lost.iter().max_by(|one, two| by(one).total_cmp(&by(two)))?;
    Some(Loss {
        figure: figure.name,
        rates: lost.iter().map(|pair| pair.rate).collect(),
        worst: Some(worst.rate),
        ours: figure.show_interval(Some(worst.ours)),
        best: figure.show_interval(Some(worst.best)),
        whose: worst.whose.label.clone(),
    })
}

/// Compares a figure at `point`. Returns it if it is a loss.
fn lost_at<'a>(figure: &Figure, point: &Point, others: &[&'a Sweep]) -> Option<Pair<'a>> {
    let ours = point.figure(figure)?;
    let there = |sweep: &&'a Sweep| {
        let other = sweep.at(point.rate)?;
        Some((*sweep, other, other.figure(figure)?))
    };
    let (whose, other, best) = others
        .iter()
        .filter_map(there)
        .min_by(|one, two| figure.worse_by(one.2.mean, two.2.mean).total_cmp(&0.0))?;
    let spread = difference(figure, point, other).and_then(|difference| difference.half);
    // A loss exceeds the interval, the least share, and what users could notice.
    let threshold = spread.unwrap_or(0.0).max(LEAST * best.mean.abs()).max(figure.noise);
    let lost = figure.worse_by(ours.mean, best.mean) > threshold;
    lost.then_some(Pair { rate: point.rate, ours, best, whose })
}

/// The difference between two policies, paired by seed.
fn difference(figure: &Figure, ours: &Point, other: &Point) -> Option<Confidence> {
    let pairs = ours.runs.iter().zip(&other.runs);
    // All policies play the same requests, so pairing by seed removes the variance between seeds.
    let by_seed = pairs
        .filter_map(|(one, two)| Some(figure.worse_by((figure.value)(one)?, (figure.value)(two)?)));
    Confidence::of(by_seed.collect())
}

/// Renders the losses as a table.
pub(super) fn table(losses: &[Loss]) -> Table {
    let head = ["figure", "lost at requests/s", "worst at", "ours there", "best there", "whose"];
    let mut table = Table::new(&head);
    for loss in losses {
        let rates: Vec<String> = loss.rates.iter().map(f64::to_string).collect();
        let worst = loss.worst.map_or_else(|| "–".to_owned(), |rate| rate.to_string());
        let cells = [loss.figure, &rates.join(", "), &worst, &loss.ours, &loss.best, &loss.whose];
        table.row(cells.map(str::to_owned).to_vec());
    }
    table
}
