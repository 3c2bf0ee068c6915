//! All members of a short object at once, for callers that look at each of them.

use std::ops::Range;

use crate::json::error::JsonError;
use crate::json::scanner::{Key, Scanner};

/// A top-level member, as byte offsets into the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Where its name is, without the quotes.
    pub key: Range<usize>,
    /// Where its value is.
    pub value: Range<usize>,
}

impl Member {
    /// Whether it is called `name`, however that is escaped in `text`.
    #[must_use]
    pub fn key_is(&self, text: &[u8], name: &str) -> bool {
        let raw = text.get(self.key.clone()).unwrap_or_default();
        Key { raw, at: self.key.start }.is(name)
    }
}

/// The top-level members of `text`, which must be one JSON object, in the order of the text.
///
/// # Errors
/// The text is not JSON, or not an object.
pub fn members(text: &[u8]) -> Result<Vec<Member>, JsonError> {
    let mut scan = Scanner::new(text)?;
    let mut open = scan.object()?;
    let mut members = Vec::new();
    while let Some(key) = scan.key(&mut open)? {
        let start = key.at + 1;
        members.push(Member { key: start..start + key.raw.len(), value: scan.skip()?.range() });
    }
    scan.end()?;
    Ok(members)
}
