//! The cursor over a JSON text: enters containers, and reads them member by member or item by item.

use crate::json::error::{JsonError, JsonErrorKind, MAX_DEPTH};
use crate::json::text;
use crate::json::value::Kind;

/// An object or array that was entered and not yet left.
#[derive(Debug)]
pub struct Open {
    /// No member or item was read yet, so no comma is due.
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
    /// Whether the member is called `name`, however it is escaped.
    #[must_use]
    pub fn is(&self, name: &str) -> bool {
        self.raw == name.as_bytes()
            || (memchr::memchr(b'\\', self.raw).is_some() && text::unescape(self.raw) == name)
    }
}

/// Walks a JSON text once, from its start to its end.
#[derive(Clone, Debug)]
pub struct Scanner<'a> {
    pub(super) text: &'a [u8],
    /// Offset of the next byte.
    pub(super) at: usize,
    /// Arrays and objects that are open.
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

    /// Starts at the first byte of `text` without checking that it is UTF-8: for short excerpts of an endpoint's
    /// answer.
    #[must_use]
    pub const fn trusting(text: &'a [u8]) -> Self {
        Self { text, at: 0, depth: 0 }
    }

    /// Offset of the next byte to be read.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.at
    }

    /// The kind of the next value, without reading it.
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

    /// Reads the next member's name; its value must be read next. `None` leaves the object.
    ///
    /// # Errors
    /// Neither a member nor the object's end comes.
    pub fn key(&mut self, open: &mut Open) -> Result<Option<Key<'a>>, JsonError> {
        if !self.has_next(open, b'}', "a comma or the object's end")? {
            return Ok(None);
        }
        let at = self.at;
        let raw = self.name()?;
        Ok(Some(Key { raw, at }))
    }

    /// Whether another item follows, which must be read next; `false` leaves the array.
    ///
    /// # Errors
    /// Neither an item nor the array's end comes.
    pub fn item(&mut self, open: &mut Open) -> Result<bool, JsonError> {
        self.has_next(open, b']', "a comma or the array's end")
    }

    /// Checks that nothing but whitespace is left.
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

    fn enter(&mut self, brace: u8, what: &'static str) -> Result<Open, JsonError> {
        self.blank();
        if self.byte()? != brace {
            return Err(JsonErrorKind::Expected(what).at(self.at));
        }
        self.deeper(1)?;
        self.depth += 1;
        self.at += 1;
        Ok(Open { first: true })
    }

    /// Crosses the comma between two members or items. `false`: the container ended with `close`.
    fn has_next(
        &mut self,
        open: &mut Open,
        close: u8,
        expected: &'static str,
    ) -> Result<bool, JsonError> {
        self.blank();
        let byte = self.byte()?;
        if byte == close {
            self.at += 1;
            self.depth -= 1;
            return Ok(false);
        }
        if !std::mem::take(&mut open.first) {
            if byte != b',' {
                return Err(JsonErrorKind::Expected(expected).at(self.at));
            }
            self.at += 1;
            self.blank();
        }
        Ok(true)
    }

    /// Reads a member's name and crosses the colon after it; the cursor is at the opening quote.
    pub(super) fn name(&mut self) -> Result<&'a [u8], JsonError> {
        if self.byte()? != b'"' {
            return Err(JsonErrorKind::Expected("a member's name in quotes").at(self.at));
        }
        let end = text::string_end(self.text, self.at)?;
        let raw = &self.text[self.at + 1..end - 1];
        self.at = end;
        self.blank();
        if self.byte()? != b':' {
            return Err(JsonErrorKind::Expected("a colon").at(self.at));
        }
        self.at += 1;
        Ok(raw)
    }

    /// Checks that `more` containers may be opened inside those that are open.
    pub(super) const fn deeper(&self, more: u32) -> Result<(), JsonError> {
        if self.depth + more > MAX_DEPTH { Err(JsonErrorKind::TooDeep.at(self.at)) } else { Ok(()) }
    }

    /// The next byte.
    pub(super) fn byte(&self) -> Result<u8, JsonError> {
        self.text.get(self.at).copied().ok_or(JsonErrorKind::Ended.at(self.at))
    }

    /// Crosses whitespace.
    pub(super) fn blank(&mut self) {
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.text.get(self.at) {
            self.at += 1;
        }
    }
}
