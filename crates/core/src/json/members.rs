//! All members of a short object at once, for callers that look at each of them.

use std::ops::Range;

use super::{JsonError, Key, Scanner};

/// A top-level member; its places are offsets into the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// The bytes between the quotes of its name.
    pub key: Range<usize>,
    /// Its value.
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

/// The top-level members of `text`, which must be one JSON object, in their order.
///
/// # Errors
/// It is not.
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
