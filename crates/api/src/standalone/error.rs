//! What is wrong with a file, and where.

use std::fmt;

use crate::path::FieldPath;

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoadError {
    /// Which of the file's documents, from 1; 0: the file as a whole.
    pub document: usize,
    /// From 1; 0: the file as a whole.
    pub line: u64,
    /// From 1, in characters; 0: the file as a whole.
    pub column: u64,
    /// The field, from the document's root.
    pub path: FieldPath,
    /// What is wrong, and what to do.
    pub message: String,
}

impl LoadError {
    /// An error of no line in particular.
    pub(super) fn of_file(message: String) -> Self {
        Self { document: 0, line: 0, column: 0, path: FieldPath::default(), message }
    }
}

/// `12:9: spec.policy.type: unknown variant …`
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

/// Everything that is wrong with a file; at least one thing. Shows as one line for each.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct LoadErrors(pub Vec<LoadError>);

impl LoadErrors {
    /// The errors with the file's name before each line, as compilers write them: `llm.yaml:12:9: …`.
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
