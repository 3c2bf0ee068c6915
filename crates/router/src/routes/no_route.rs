//! Why no route serves a request.

use std::fmt;
use std::sync::Arc;

/// Why no route serves a request.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum NoRoute {
    /// No configuration was put into use yet.
    NotConfigured,
    /// The request names no model, and the routes are none or several.
    ModelMissing {
        /// Models that it could name.
        known: Arc<KnownModels>,
    },
    /// No route serves the model.
    UnknownModel {
        /// The model as the client named it.
        model: String,
        /// Models that it could name instead.
        known: Arc<KnownModels>,
    },
}

/// Names that an error message lists: enough to find a misspelled one among few, and one line of text among many.
const NAMED_MODELS: usize = 20;

/// Models for an error message: the first in alphabetical order, and the number of the others.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownModels {
    names: Vec<String>,
    others: usize,
}

impl<'a> FromIterator<&'a str> for KnownModels {
    fn from_iter<I: IntoIterator<Item = &'a str>>(models: I) -> Self {
        let mut names: Vec<_> = models.into_iter().collect();
        names.sort_unstable();
        names.dedup();
        let others = names.len().saturating_sub(NAMED_MODELS);
        Self { names: names.into_iter().take(NAMED_MODELS).map(str::to_owned).collect(), others }
    }
}

impl fmt::Display for KnownModels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.names.is_empty() {
            return f.write_str("none yet");
        }
        f.write_str(&self.names.join(", "))?;
        match self.others {
            0 => Ok(()),
            others => write!(f, " and {others} more"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_models_are_listed_once_in_order_and_not_without_end() {
        let listed = |models: &[&str]| models.iter().copied().collect::<KnownModels>().to_string();
        assert_eq!(listed(&[]), "none yet");
        assert_eq!(listed(&["b", "a", "b"]), "a, b");
        let many: Vec<_> = (0..30).map(|i| format!("m{i:02}")).collect();
        let many: Vec<_> = many.iter().map(String::as_str).collect();
        assert!(listed(&many).ends_with("m19 and 10 more"), "{}", listed(&many));
    }
}
