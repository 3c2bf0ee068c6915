//! Errors in a stand-alone file, with their positions.

use std::fmt;

use crate::path::FieldPath;

/// One error in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// The number of the document in the file, from 1. 0 means the whole file.
    pub document: usize,
    /// The line, from 1. 0 means the whole file.
    pub line: u64,
    /// The column in characters, from 1. 0 means the whole file.
    pub column: u64,
    /// The path of the field from the document's root.
    pub path: FieldPath,
    /// What is wrong, and how to fix it.
    pub message: String,
}

impl LoadError {
    /// An error about the whole file.
    pub(super) fn of_file(message: String) -> Self {
        Self { document: 0, line: 0, column: 0, path: FieldPath::default(), message }
    }
}

/// Formats the error as `12:9: spec.policy.type: unknown variant …`.
impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.line > 0 {
            write!(f, "{}:{}: ", self.line, self.column)?;
        }
        if !self.path.segments().is_empty() {
            write!(f, "{}: ", self.path)?;
        }
        f.write_str(&self.message)
    }
}

/// All errors in a file, at least one. `Display` writes one per line.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LoadErrors(pub Vec<LoadError>);

impl LoadErrors {
    /// The errors with the file name before each line, as compilers write them: `llm.yaml:12:9: …`.
    #[must_use]
    pub fn in_file(&self, file: &str) -> String {
        let line = |error: &LoadError| {
            let separator = if error.line > 0 { "" } else { " " };
            format!("{file}:{separator}{error}")
        };
        self.0.iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

impl fmt::Display for LoadErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.0.iter().enumerate() {
            write!(f, "{}{error}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

impl From<LoadError> for LoadErrors {
    fn from(error: LoadError) -> Self {
        Self(vec![error])
    }
}
