//! The tables of one experiment.

use crate::lab::results::{Experiment, Limit, Promise, Sweep};
use crate::lab::summary::figures::{FIGURES, Figure};
use crate::table::Table;

/// The key figures of all policies at the focus rate.
pub(super) fn key(experiment: &Experiment) -> Table {
    let figures = || FIGURES.iter().filter(|figure| figure.key);
    let mut head = vec!["policy"];
    head.extend(figures().map(|figure| figure.name));
    let mut table = Table::new(&head);
    for sweep in &experiment.sweeps {
        let mut row = vec![sweep.label.clone()];
        row.extend(figures().map(|figure| cell(experiment, sweep, figure, false)));
        table.row(row);
    }
    table
}

/// All figures at the focus rate with their intervals, one row per figure.
pub(super) fn full(experiment: &Experiment) -> Table {
    let labels = experiment.sweeps.iter().map(|sweep| sweep.label.as_str());
    let mut table = Table::new(&["figure"].into_iter().chain(labels).collect::<Vec<_>>());
    for figure in &FIGURES {
        let cells = experiment.sweeps.iter().map(|sweep| cell(experiment, sweep, figure, true));
        let row: Vec<String> = [figure.name.to_owned()].into_iter().chain(cells).collect();
        if row[1..].iter().any(|cell| cell != "–") {
            table.row(row);
        }
    }
    for row in roles(experiment).into_iter().chain([reasons(experiment)]) {
        table.row(row);
    }
    table
}

/// The share of requests that met `promise`, at every rate.
pub(super) fn rates(experiment: &Experiment, promise: Promise) -> Table {
    let rates = experiment.rates();
    let names: Vec<String> = rates.iter().map(|rate| format!("{rate}/s")).collect();
    let mut head = vec![promise.name()];
    head.extend(names.iter().map(String::as_str));
    head.push("rate with ≥ 90 %");
    let mut table = Table::new(&head);
    let kept = FIGURES.iter().find(|figure| figure.name == promise.name());
    let kept = kept.expect("a promise is one of the figures");
    for sweep in &experiment.sweeps {
        let at = |&rate: &f64| kept.show_interval(sweep.at(rate).and_then(|p| p.figure(kept)));
        let mut row = vec![sweep.label.clone()];
        row.extend(rates.iter().map(at));
        row.push(limit(sweep, promise));
        table.row(row);
    }
    table
}

fn limit(sweep: &Sweep, promise: Promise) -> String {
    sweep.goodput_rate(promise).map_or_else(|| "–".to_owned(), Limit::show)
}

fn cell(experiment: &Experiment, sweep: &Sweep, figure: &Figure, interval: bool) -> String {
    let point = experiment.focus().and_then(|rate| sweep.at(rate));
    let value = point.and_then(|point| point.figure(figure));
    if interval { figure.show_interval(value) } else { figure.show(value.map(|value| value.mean)) }
}

/// The busy time and KV use of each role's endpoints, in the first seed.
fn roles(experiment: &Experiment) -> Vec<Vec<String>> {
    let cells = |role: &str| {
        let of = |sweep: &Sweep| {
            let run = experiment.focus().and_then(|rate| sweep.at(rate)?.runs.first());
            let role = run.and_then(|run| run.roles.iter().find(|used| used.role == role));
            role.map_or_else(
                || "–".to_owned(),
                |role| format!("{:.0} / {:.0}", role.busy * 100.0, role.kv_use * 100.0),
            )
        };
        experiment.sweeps.iter().map(of).collect::<Vec<_>>()
    };
    let row = |role: &str| [vec![format!("{role}: busy % / KV %")], cells(role)].concat();
    let rows = ["prefill", "decoding", "mixed"].map(row);
    rows.into_iter().filter(|row| row[1..].iter().any(|cell| cell != "–")).collect()
}

/// The most frequent reasons of plans, in the first seed.
fn reasons(experiment: &Experiment) -> Vec<String> {
    let of = |sweep: &Sweep| {
        let run = experiment.focus().and_then(|rate| sweep.at(rate)?.runs.first());
        let some = run.iter().flat_map(|run| run.reasons.iter().take(3));
        let some: Vec<String> = some.map(|(reason, count)| format!("{reason} {count}")).collect();
        some.join(", ")
    };
    ["reasons".to_owned()].into_iter().chain(experiment.sweeps.iter().map(of)).collect()
}
