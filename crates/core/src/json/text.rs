//! Strings: crossing them fast, and reading the short ones.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use super::{JsonError, JsonErrorKind, Scanner};

impl Scanner<'_> {
    /// Crosses the string whose opening quote is next.
    pub(super) fn string(&mut self) -> Result<(), JsonError> {
        let mut at = self.at + 1;
        loop {
            let rest = &self.text[at..];
            let Some(stop) = memchr2(b'"', b'\\', rest) else {
                return Err(JsonErrorKind::Ended.at(self.text.len()));
            };
            self.no_control(at, stop)?;
            at += stop;
            if self.text[at] == b'"' {
                self.at = at + 1;
                return Ok(());
            }
            at = self.escape(at)?;
        }
    }

    /// No control character in the `len` bytes from `from`. Without an early exit, so that it is vectorised.
    fn no_control(&self, from: usize, len: usize) -> Result<(), JsonError> {
        let part = &self.text[from..from + len];
        if !part.iter().fold(false, |found, &byte| found | (byte < 0x20)) {
            return Ok(());
        }
        let offset = part.iter().position(|&byte| byte < 0x20).unwrap_or(0);
        Err(JsonErrorKind::ControlCharacter.at(from + offset))
    }

    /// The offset behind the escape that starts at `at`.
    fn escape(&self, at: usize) -> Result<usize, JsonError> {
        match self.text.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
            Some(b'u') if hex4(&self.text[at + 2..]).is_some() => Ok(at + 6),
            Some(_) => Err(JsonErrorKind::BadEscape.at(at)),
            None => Err(JsonErrorKind::Ended.at(at)),
        }
    }
}

/// The text of a string from the bytes between its quotes. What is no character (half a surrogate pair) becomes
/// U+FFFD. Allocates only if there is an escape.
#[must_use]
pub fn unescape(raw: &[u8]) -> Cow<'_, str> {
    let Some(mut stop) = memchr(b'\\', raw) else {
        return String::from_utf8_lossy(raw);
    };
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    loop {
        text.push_str(&String::from_utf8_lossy(&rest[..stop]));
        let (character, used) = unescape_one(&rest[stop + 1..]);
        text.push(character);
        rest = rest.get(stop + 1 + used..).unwrap_or_default();
        match memchr(b'\\', rest) {
            Some(next) => stop = next,
            None => break,
        }
    }
    text.push_str(&String::from_utf8_lossy(rest));
    Cow::Owned(text)
}

/// The character that the escape means, and how many bytes it takes after the backslash.
fn unescape_one(escape: &[u8]) -> (char, usize) {
    match escape.first() {
        Some(b'b') => ('\u{8}', 1),
        Some(b'f') => ('\u{c}', 1),
        Some(b'n') => ('\n', 1),
        Some(b'r') => ('\r', 1),
        Some(b't') => ('\t', 1),
        Some(b'u') => unescape_unit(escape),
        Some(&other) => (char::from(other), 1),
        None => (char::REPLACEMENT_CHARACTER, 0),
    }
}

/// A unit (`u` and four hexadecimal digits), or a surrogate pair of two of them.
fn unescape_unit(escape: &[u8]) -> (char, usize) {
    let Some(unit) = escape.get(1..).and_then(hex4) else {
        return (char::REPLACEMENT_CHARACTER, 1);
    };
    let low = match escape.get(5..7) {
        Some(br"\u") => escape.get(7..).and_then(hex4),
        _ => None,
    };
    if let (0xD800..=0xDBFF, Some(low @ 0xDC00..=0xDFFF)) = (unit, low) {
        let pair = 0x1_0000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
        return (char::from_u32(pair).unwrap_or(char::REPLACEMENT_CHARACTER), 11);
    }
    (char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER), 5)
}

/// The number that the first four bytes write in hexadecimal digits.
fn hex4(bytes: &[u8]) -> Option<u32> {
    bytes.get(..4)?.iter().try_fold(0, |sum, &byte| Some(sum * 16 + char::from(byte).to_digit(16)?))
}
