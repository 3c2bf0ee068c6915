//! Reports of experiments: for the terminal, as an HTML page, and as a Markdown document with pictures.
//!
//! ```text
//! experiments → tables, plots (chart, bars: frame, axis, style), losses → terminal | html | markdown
//! ```

pub mod about;
mod axis;
mod bars;
mod chart;
mod frame;
mod html;
mod losses;
mod markdown;
mod plots;
mod style;
mod tables;

use std::path::Path;

use anyhow::Context;

use crate::lab::report::about::About;
use crate::lab::results::{Experiment, Promise};

#[cfg(test)]
mod tests;

pub use self::html::html;
pub use self::markdown::{Document, markdown};

/// Renders an experiment for the terminal.
#[must_use]
pub fn terminal(experiment: &Experiment) -> String {
    let mut text = format!("{}: {}\n", experiment.name, experiment.title);
    for condition in &experiment.conditions {
        text += &format!("  {condition}\n");
    }
    if experiment.rates().len() > 1 {
        for promise in Promise::ALL {
            text += &format!("\n{}", tables::rates(experiment, promise));
        }
    }
    if let Some(rate) = experiment.focus() {
        text += &format!("\nat {rate} requests/s\n");
    }
    text + &tables::key(experiment).to_string()
}

/// Writes the HTML page to `path`.
///
/// # Errors
/// The file cannot be written.
pub fn write_html(about: &About, experiments: &[Experiment], path: &Path) -> anyhow::Result<()> {
    write(path, &html(about, experiments))
}

/// Writes the Markdown document to `path`, and its pictures to the folder of the same name beside it.
///
/// # Errors
/// A file cannot be written.
pub fn write_markdown(
    about: &About,
    experiments: &[Experiment],
    path: &Path,
) -> anyhow::Result<()> {
    let folder = path.with_extension("");
    let name = folder.file_name().context("the document needs a file name")?.to_string_lossy();
    let document = markdown(about, experiments, &name);
    for (file, svg) in &document.pictures {
        write(&folder.join(file), svg)?;
    }
    write(path, &document.text)
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(cannot)?;
    }
    std::fs::write(path, text).with_context(cannot)
}
