//! Values: crossing any of them without recursion, and reading scalars.

use std::borrow::Cow;
use std::ops::Range;

use super::{JsonError, JsonErrorKind, Scanner, unescape};

/// What a value is.
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

    /// The text of a string.
    #[must_use]
    pub fn text(&self) -> Option<Cow<'a, str>> {
        (self.kind == Kind::String).then(|| unescape(&self.raw[1..self.raw.len() - 1]))
    }

    /// The value of a number that is whole and fits.
    #[must_use]
    pub fn integer(&self) -> Option<i64> {
        let text = (self.kind == Kind::Number).then(|| std::str::from_utf8(self.raw).ok())??;
        text.parse().ok().or_else(|| whole(text.parse().ok()?))
    }
}

/// `2.0` and `1e3` are whole, too; beyond 2^53 a float no longer says which number it is.
fn whole(number: f64) -> Option<i64> {
    let exact = number.fract() == 0.0 && number.abs() < 9_007_199_254_740_992.0;
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    exact.then_some(number as i64)
}

/// The arrays and objects that were opened inside one value: one bit each, innermost lowest, 1 for an object.
/// [`super::MAX_DEPTH`] bounds them, so that the bits suffice.
#[derive(Default)]
struct Nest {
    objects: u128,
    depth: u32,
}

impl Nest {
    fn push(&mut self, object: bool) {
        self.objects = self.objects << 1 | u128::from(object);
        self.depth += 1;
    }

    fn pop(&mut self) {
        self.objects >>= 1;
        self.depth -= 1;
    }

    const fn in_object(&self) -> bool {
        self.objects & 1 == 1
    }
}

impl<'a> Scanner<'a> {
    /// Crosses the next value, whatever it is, and checks all of it.
    ///
    /// # Errors
    /// It is not JSON.
    pub fn skip(&mut self) -> Result<Value<'a>, JsonError> {
        let kind = self.peek()?;
        let at = self.at;
        let mut nest = Nest::default();
        loop {
            if self.opens(&mut nest)? {
                continue;
            }
            if !self.closes(&mut nest)? {
                return Ok(Value { kind, raw: &self.text[at..self.at], at });
            }
        }
    }

    /// Crosses a scalar or an empty container: `false`. Or enters a container, up to its first value: `true`.
    fn opens(&mut self, nest: &mut Nest) -> Result<bool, JsonError> {
        let (object, close) = match self.peek()? {
            Kind::Object => (true, b'}'),
            Kind::Array => (false, b']'),
            scalar => return self.scalar(scalar).map(|()| false),
        };
        self.deeper(nest.depth + 1)?;
        self.at += 1;
        self.blank();
        if self.byte()? == close {
            self.at += 1;
            return Ok(false);
        }
        nest.push(object);
        if object {
            self.name()?;
        }
        Ok(true)
    }

    /// A value ended: leaves the containers that end with it. `true`: another value follows.
    fn closes(&mut self, nest: &mut Nest) -> Result<bool, JsonError> {
        while nest.depth > 0 {
            self.blank();
            match (self.byte()?, nest.in_object()) {
                (b'}', true) | (b']', false) => nest.pop(),
                (b',', object) => {
                    self.at += 1;
                    self.blank();
                    if object {
                        self.name()?;
                    }
                    return Ok(true);
                }
                (_, true) => {
                    return Err(JsonErrorKind::Expected("a comma or the object's end").at(self.at));
                }
                (_, false) => {
                    return Err(JsonErrorKind::Expected("a comma or the array's end").at(self.at));
                }
            }
            self.at += 1;
        }
        Ok(false)
    }

    fn scalar(&mut self, kind: Kind) -> Result<(), JsonError> {
        match kind {
            Kind::String => self.string(),
            Kind::Number => self.number(),
            Kind::Null => self.word(b"null"),
            _ if self.byte()? == b't' => self.word(b"true"),
            _ => self.word(b"false"),
        }
    }

    fn word(&mut self, word: &[u8]) -> Result<(), JsonError> {
        if !self.text[self.at..].starts_with(word) {
            return Err(JsonErrorKind::Expected("a value").at(self.at));
        }
        self.at += word.len();
        Ok(())
    }

    /// `-? (0 | [1-9][0-9]*) (. [0-9]+)? ([eE] [+-]? [0-9]+)?`
    fn number(&mut self) -> Result<(), JsonError> {
        self.eat(b"-");
        if !self.eat(b"0") {
            self.digits()?;
        }
        if self.eat(b".") {
            self.digits()?;
        }
        if self.eat(b"eE") {
            self.eat(b"+-");
            self.digits()?;
        }
        Ok(())
    }

    fn eat(&mut self, one_of: &[u8]) -> bool {
        let found = self.text.get(self.at).is_some_and(|byte| one_of.contains(byte));
        self.at += usize::from(found);
        found
    }

    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while self.text.get(self.at).is_some_and(u8::is_ascii_digit) {
            self.at += 1;
        }
        if self.at == from { Err(JsonErrorKind::BadNumber.at(from)) } else { Ok(()) }
    }
}
