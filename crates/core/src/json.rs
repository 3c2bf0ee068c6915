//! One pass over JSON text, value by value, without building anything of it.
//!
//! A [`Scanner`] pulls: the caller enters an object or array and asks for one member or item after the other, and
//! [`Scanner::skip`]s what it does not want. What is skipped is checked as RFC 8259 says (UTF-8, nesting, strings,
//! escapes, numbers), so a text that was walked to its [`Scanner::end`] has one meaning only, for every later reader.
//! Nothing recurses; nesting beyond [`MAX_DEPTH`] is an error. Strings are crossed at memchr speed.

mod members;
mod text;
mod value;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;

use thiserror::Error;

pub use self::members::{Member, members};
pub use self::text::unescape;
pub use self::value::{Kind, Value};

/// How many arrays and objects may be open at once.
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
    /// Something else was due here.
    #[error("expected {0}")]
    Expected(&'static str),
    /// More than [`MAX_DEPTH`] arrays and objects are open.
    #[error("more than 128 nested arrays and objects")]
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
    const fn at(self, at: usize) -> JsonError {
        JsonError { kind: self, at }
    }
}

/// An object or array that was entered and not yet left.
#[derive(Debug)]
pub struct Open {
    first: bool,
}

/// The name of a member.
#[derive(Clone, Copy, Debug)]
pub struct Key<'a> {
    /// The bytes between the quotes, escapes as they were sent.
    pub raw: &'a [u8],
    /// Offset of the opening quote.
    pub at: usize,
}

impl Key<'_> {
    /// Whether this is the member called `name`, however it is escaped.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.raw == name.as_bytes()
            || (memchr::memchr(b'\\', self.raw).is_some() && unescape(self.raw) == name)
    }
}

/// Walks a JSON text once, from its start to its end.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
    depth: u32,
}

impl<'a> Scanner<'a> {
    /// Starts at the first byte of `text`, which must be UTF-8.
    ///
    /// # Errors
    /// [`JsonErrorKind::NotUtf8`], at the first wrong byte.
    pub fn new(text: &'a [u8]) -> Result<Self, JsonError> {
        match std::str::from_utf8(text) {
            Ok(_) => Ok(Self::trusting(text)),
            Err(error) => Err(JsonErrorKind::NotUtf8.at(error.valid_up_to())),
        }
    }

    /// As [`Scanner::new`], without looking at the encoding: for short excerpts of what an endpoint said.
    #[must_use]
    pub const fn trusting(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Offset of the next byte to be read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// What the next value is, without reading it.
    ///
    /// # Errors
    /// No value starts here.
    pub fn peek(&mut self) -> Result<Kind, JsonError> {
        self.blank();
        Kind::starting_with(self.byte()?).ok_or(JsonErrorKind::Expected("a value").at(self.at))
    }

    /// Enters the object that must come next.
    ///
    /// # Errors
    /// Something else comes, or the nesting is too deep.
    pub fn object(&mut self) -> Result<Open, JsonError> {
        self.enter(b'{', "an object")
    }

    /// Enters the array that must come next.
    ///
    /// # Errors
    /// Something else comes, or the nesting is too deep.
    pub fn array(&mut self) -> Result<Open, JsonError> {
        self.enter(b'[', "an array")
    }

    /// The next member's name, its value to be read next; `None` leaves the object.
    ///
    /// # Errors
    /// Neither a member nor the object's end comes.
    pub fn key(&mut self, open: &mut Open) -> Result<Option<Key<'a>>, JsonError> {
        if !self.go_on(open, b'}', "a comma or the object's end")? {
            return Ok(None);
        }
        let at = self.at;
        let raw = self.name()?;
        Ok(Some(Key { raw, at }))
    }

    /// Whether another item comes, to be read next; `false` leaves the array.
    ///
    /// # Errors
    /// Neither an item nor the array's end comes.
    pub fn item(&mut self, open: &mut Open) -> Result<bool, JsonError> {
        self.go_on(open, b']', "a comma or the array's end")
    }

    /// Nothing but whitespace is left.
    ///
    /// # Errors
    /// Something is left.
    pub fn end(&mut self) -> Result<(), JsonError> {
        self.blank();
        if self.at == self.text.len() {
            return Ok(());
        }
        Err(JsonErrorKind::Expected("nothing after the value").at(self.at))
    }

    fn enter(&mut self, with: u8, what: &'static str) -> Result<Open, JsonError> {
        self.blank();
        if self.byte()? != with {
            return Err(JsonErrorKind::Expected(what).at(self.at));
        }
        self.deeper(1)?;
        self.depth += 1;
        self.at += 1;
        Ok(Open { first: true })
    }

    /// Crosses the comma, if one is due. `false`: the container ended with `close`.
    fn go_on(&mut self, open: &mut Open, close: u8, due: &'static str) -> Result<bool, JsonError> {
        self.blank();
        let byte = self.byte()?;
        if byte == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::take(&mut open.first) {
            if byte != b',' {
                return Err(JsonErrorKind::Expected(due).at(self.at));
            }
            self.at += 1;
            self.blank();
        }
        Ok(true)
    }

    /// A member's name and the colon after it; the cursor is at the opening quote.
    fn name(&mut self) -> Result<&'a [u8], JsonError> {
        if self.byte()? != b'"' {
            return Err(JsonErrorKind::Expected("a member's name in quotes").at(self.at));
        }
        let from = self.at + 1;
        self.string()?;
        let raw = &self.text[from..self.at - 1];
        self.blank();
        if self.byte()? != b':' {
            return Err(JsonErrorKind::Expected("a colon").at(self.at));
        }
        self.at += 1;
        Ok(raw)
    }

    /// That `more` containers may be opened on top of those the caller is in.
    const fn deeper(&self, more: u32) -> Result<(), JsonError> {
        if self.depth + more > MAX_DEPTH { Err(JsonErrorKind::TooDeep.at(self.at)) } else { Ok(()) }
    }

    fn byte(&self) -> Result<u8, JsonError> {
        self.text.get(self.at).copied().ok_or(JsonErrorKind::Ended.at(self.at))
    }

    fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }
}
