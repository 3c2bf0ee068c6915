//! What a report says of itself before its tables.

/// What stands around the experiments.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The title.
    pub title: String,
    /// Paragraphs below it: what this is, what holds for all experiments.
    pub lines: Vec<String>,
    /// The commands that give the same again.
    pub reproduce: Vec<String>,
}
