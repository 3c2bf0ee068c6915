//! The introduction of a report.

/// The texts around the experiments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The title.
    pub title: String,
    /// Paragraphs below the title, about all experiments.
    pub lines: Vec<String>,
    /// The commands that reproduce the report.
    pub reproduce: Vec<String>,
}
