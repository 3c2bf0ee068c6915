//! Why a text is not JSON, and where.

use thiserror::Error;

/// The most arrays and objects that may be open at once. `Nest` in `skip.rs` keeps one bit each in a `u128`, so a
/// larger number needs a wider word there. The deepest part of real requests, the JSON schema of a tool, stays far
/// below.
pub const MAX_DEPTH: u32 = 128;

/// Why a text is not JSON, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{kind} at byte {at}")]
pub struct JsonError {
    /// What is wrong.
    pub kind: JsonErrorKind,
    /// Offset in bytes from the start of the text.
    pub at: usize,
}

/// What is wrong with a text that is not JSON.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum JsonErrorKind {
    /// Not UTF-8.
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// The text ends inside a value.
    #[error("the text ends too early")]
    Ended,
    /// The text goes on with something else than what must come here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// More than [`MAX_DEPTH`] arrays and objects are open.
    #[error("more than {MAX_DEPTH} nested arrays and objects")]
    TooDeep,
    /// A raw control character inside a string.
    #[error("a control character inside a string")]
    ControlCharacter,
    /// A backslash that starts no escape.
    #[error("a wrong escape in a string")]
    BadEscape,
    /// A number that JSON does not allow.
    #[error("a malformed number")]
    BadNumber,
}

impl JsonErrorKind {
    /// This error, at the byte offset `at` of the text.
    pub(super) const fn at(self, at: usize) -> JsonError {
        JsonError { kind: self, at }
    }
}
