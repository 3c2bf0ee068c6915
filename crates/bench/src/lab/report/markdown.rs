//! The report as a Markdown document, with its pictures as files beside it.

use std::fmt::Write as _;

use crate::lab::report::about::About;
use crate::lab::report::frame::standalone;
use crate::lab::report::losses::{self, losses};
use crate::lab::report::plots::plots;
use crate::lab::report::tables;
use crate::lab::results::{Experiment, Promise};

/// A Markdown document and its pictures.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The Markdown text.
    pub text: String,
    /// The file name and the SVG of each picture.
    pub pictures: Vec<(String, String)>,
}

/// Renders the document, with links to pictures in `folder`. Writing to a string cannot fail.
#[must_use]
pub fn markdown(about: &About, experiments: &[Experiment], folder: &str) -> Document {
    let mut document = Document { text: format!("# {}\n\n", about.title), pictures: Vec::new() };
    for line in &about.lines {
        let _ = writeln!(document.text, "{line}\n");
    }
    experiments.iter().for_each(|experiment| document.section(experiment, folder));
    document.lost(experiments);
    let commands = about.reproduce.join("\n");
    let _ = writeln!(document.text, "## How to reproduce\n\n```sh\n{commands}\n```");
    document
}

impl Document {
    fn section(&mut self, experiment: &Experiment, folder: &str) {
        let _ = writeln!(self.text, "## {}: {}\n", experiment.name, experiment.title);
        for condition in &experiment.conditions {
            let _ = writeln!(self.text, "- {condition}");
        }
        self.text.push('\n');
        if experiment.rates().len() > 1 {
            for promise in Promise::ALL {
                let _ = writeln!(self.text, "{}", tables::rates(experiment, promise).markdown());
            }
        }
        if let Some(rate) = experiment.focus() {
            let _ = writeln!(self.text, "At {rate} requests/s, mean and 95 % interval:\n");
        }
        let _ = writeln!(self.text, "{}", tables::full(experiment).markdown());
        for plot in plots(experiment) {
            let file = format!("{}-{}.svg", experiment.name, plot.name);
            let _ = writeln!(self.text, "![{}]({folder}/{file})", plot.title);
            self.pictures.push((file, standalone(&plot.svg)));
        }
        self.text.push('\n');
    }

    fn lost(&mut self, experiments: &[Experiment]) {
        let _ = writeln!(self.text, "## Where we lose\n\n{}\n", losses::RULE);
        for experiment in experiments {
            let losses = losses(experiment);
            let _ = match losses.is_empty() {
                true => writeln!(self.text, "**{}**: nowhere, by this rule.\n", experiment.name),
                false => writeln!(
                    self.text,
                    "**{}**\n\n{}",
                    experiment.name,
                    losses::table(&losses).markdown()
                ),
            };
        }
    }
}
