//! JSON strings: finds where they end at memchr speed, and unescapes short ones.

use std::borrow::Cow;

use memchr::{memchr, memchr2};

use crate::json::error::{JsonError, JsonErrorKind};

/// The offset behind the string whose opening quote is at `quote` in `text`.
pub(super) fn string_end(text: &[u8], quote: usize) -> Result<usize, JsonError> {
    let mut at = quote + 1;
    loop {
        let rest = &text[at..];
        let Some(stop) = memchr2(b'"', b'\\', rest) else {
            return Err(JsonErrorKind::Ended.at(text.len()));
        };
        no_control(text, at, stop)?;
        at += stop;
        if text[at] == b'"' {
            return Ok(at + 1);
        }
        at = escape_end(text, at)?;
    }
}

/// Checks that the `len` bytes from `from` hold no control character.
fn no_control(text: &[u8], from: usize, len: usize) -> Result<(), JsonError> {
    let part = &text[from..from + len];
    // Without an early exit the compiler vectorises this loop, and almost every string is clean.
    if !part.iter().fold(false, |found, &byte| found | (byte < 0x20)) {
        return Ok(());
    }
    let offset = part.iter().position(|&byte| byte < 0x20).unwrap_or(0);
    Err(JsonErrorKind::ControlCharacter.at(from + offset))
}

/// The offset behind the escape whose backslash is at `at`.
fn escape_end(text: &[u8], at: usize) -> Result<usize, JsonError> {
    match text.get(at + 1) {
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => Ok(at + 2),
        Some(b'u') if hex4(&text[at + 2..]).is_some() => Ok(at + 6),
        Some(_) => Err(JsonErrorKind::BadEscape.at(at)),
        None => Err(JsonErrorKind::Ended.at(at)),
    }
}

/// The text of a string, from the bytes between its quotes. Half a surrogate pair becomes U+FFFD. Allocates only if
/// there is an escape.
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

/// The character that an escape stands for, and its length in bytes after the backslash.
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

/// The character of a `\u` escape, or of a surrogate pair of two of them, and its length in bytes.
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

/// The number that the first four bytes are in hexadecimal digits.
fn hex4(bytes: &[u8]) -> Option<u32> {
    bytes.get(..4)?.iter().try_fold(0, |sum, &byte| Some(sum * 16 + char::from(byte).to_digit(16)?))
}
