//! A value that was crossed, and what a scalar says.

use std::borrow::Cow;
use std::ops::Range;

use crate::json::text::unescape;

/// What a JSON value is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `{…}`
    Object,
    /// `[…]`
    Array,
    /// `"…"`
    String,
    /// `-1.5e3`
    Number,
    /// `true` or `false`
    Bool,
    /// `null`
    Null,
}

impl Kind {
    /// The kind of a value that starts with this byte.
    pub(super) const fn starting_with(byte: u8) -> Option<Self> {
        Some(match byte {
            b'{' => Self::Object,
            b'[' => Self::Array,
            b'"' => Self::String,
            b'-' | b'0'..=b'9' => Self::Number,
            b't' | b'f' => Self::Bool,
            b'n' => Self::Null,
            _ => return None,
        })
    }
}

/// A value that was crossed.
#[derive(Clone, Copy, Debug)]
pub struct Value<'a> {
    /// What it is.
    pub kind: Kind,
    /// Its bytes, as they were sent.
    pub raw: &'a [u8],
    /// Offset of its first byte.
    pub at: usize,
}

impl<'a> Value<'a> {
    /// Where its bytes are in the text.
    #[must_use]
    pub const fn range(&self) -> Range<usize> {
        self.at..self.at + self.raw.len()
    }

    /// Whether it is `null`.
    #[must_use]
    pub fn is_null(&self) -> bool {
        self.kind == Kind::Null
    }

    /// The text, if it is a string.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        (self.kind == Kind::String).then(|| unescape(&self.raw[1..self.raw.len() - 1]))
    }

    /// The number, if it is one that is whole and fits.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        let text = (self.kind == Kind::Number).then(|| std::str::from_utf8(self.raw).ok())??;
        text.parse().ok().or_else(|| whole(text.parse().ok()?))
    }
}

/// The integer that `number` is: `2.0` and `1e3` are whole, too. Beyond 2^53 several integers share one float.
fn whole(number: f64) -> Option<i64> {
    let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    exact.then_some(number as i64)
}
