//! A self-contained HTML page without scripts, other files or requests.

use std::fmt::Write as _;

use crate::lab::report::about::About;
use crate::lab::report::losses::{self, losses};
use crate::lab::report::plots::plots;
use crate::lab::report::style::{PAGE, PICTURE, escape};
use crate::lab::report::tables;
use crate::lab::results::{Experiment, Promise};

/// Renders the page. Writing to a string cannot fail.
#[must_use]
pub fn html(about: &About, experiments: &[Experiment]) -> String {
    let title = escape(&about.title);
    let mut page = format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n<title>{title}</title>\n\
         <style>\n{PAGE}{PICTURE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    about.lines.iter().for_each(|line| paragraph(&mut page, line));
    contents(&mut page, experiments);
    experiments.iter().for_each(|experiment| section(&mut page, experiment));
    lost(&mut page, experiments);
    page.push_str("<h2>How to reproduce</h2>\n");
    for command in &about.reproduce {
        let _ = writeln!(page, "<p><code>{}</code></p>", escape(command));
    }
    page + "</body>\n</html>\n"
}

fn paragraph(page: &mut String, line: &str) {
    let _ = writeln!(page, "<p>{}</p>", escape(line));
}

fn contents(page: &mut String, experiments: &[Experiment]) {
    page.push_str("<ul>\n");
    for experiment in experiments {
        let (name, title) = (escape(&experiment.name), escape(&experiment.title));
        let _ = writeln!(page, "<li><a href=\"#{name}\">{name}</a>: {title}</li>");
    }
    page.push_str("<li><a href=\"#losses\">Where we lose</a></li>\n</ul>\n");
}

fn section(page: &mut String, experiment: &Experiment) {
    let (name, title) = (escape(&experiment.name), escape(&experiment.title));
    let _ = writeln!(page, "<section id=\"{name}\">\n<h2>{name}: {title}</h2>\n<ul>");
    for condition in &experiment.conditions {
        let _ = writeln!(page, "<li>{}</li>", escape(condition));
    }
    page.push_str("</ul>\n");
    if experiment.rates().len() > 1 {
        for promise in Promise::ALL {
            table(page, &tables::rates(experiment, promise).html());
        }
    }
    if let Some(rate) = experiment.focus() {
        let _ = writeln!(page, "<h3>At {rate} requests/s</h3>");
    }
    table(page, &tables::key(experiment).html());
    page.push_str("<details>\n<summary>All figures, with their 95 % intervals</summary>\n");
    table(page, &tables::full(experiment).html());
    page.push_str("</details>\n<div class=\"plots\">\n");
    plots(experiment).iter().for_each(|plot| page.push_str(&plot.svg));
    page.push_str("</div>\n</section>\n");
}

fn table(page: &mut String, html: &str) {
    let _ = writeln!(page, "<div class=\"scroll\">\n{html}</div>");
}

fn lost(page: &mut String, experiments: &[Experiment]) {
    page.push_str("<section id=\"losses\">\n<h2>Where we lose</h2>\n");
    let _ = writeln!(page, "<p class=\"note\">{}</p>", escape(losses::RULE));
    for experiment in experiments {
        let losses = losses(experiment);
        let _ = writeln!(page, "<h3>{}</h3>", escape(&experiment.name));
        match losses.is_empty() {
            true => page.push_str("<p>Nowhere, by this rule.</p>\n"),
            false => table(page, &losses::table(&losses).html()),
        }
    }
    page.push_str("</section>\n");
}
