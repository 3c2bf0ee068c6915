//! Booleans and whole numbers as leniently as vLLM takes them (pydantic's lax mode).

use crate::json::value::{Kind, Value};

/// A value read as some type.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Read<T> {
    /// `null`: as if the member were absent.
    Null,
    /// A value of that type.
    Is(T),
    /// A value of another type.
    Unreadable,
}

impl<T> Read<T> {
    fn from_option(value: Option<T>) -> Self {
        value.map_or(Self::Unreadable, Self::Is)
    }
}

/// The longest string, in bytes and with its escapes, that is read as a boolean or a number. The longest that means
/// one, 20 digits all written as `\u` escapes, takes 122.
const MAX_STRING_BYTES: usize = 128;

/// Reads a boolean: `true`, 1, 1.0, `"true"`, `"t"`, `"yes"`, `"y"`, `"on"`, `"1"` in any case; and their opposites.
pub(super) fn flag(value: &Value<'_>) -> Read<bool> {
    match value.kind {
        Kind::Null => Read::Null,
        Kind::Bool => Read::Is(value.raw == b"true"),
        Kind::Number => Read::from_option(value.integer().and_then(bit)),
        Kind::String => Read::from_option(word(value).and_then(|text| flag_word(&text))),
        Kind::Object | Kind::Array => Read::Unreadable,
    }
}

/// Reads an integer: 16, 16.0, `"16"`, and `true` as 1.
pub(super) fn integer(value: &Value<'_>) -> Read<i64> {
    match value.kind {
        Kind::Null => Read::Null,
        Kind::Bool => Read::Is(i64::from(value.raw == b"true")),
        Kind::Number => Read::from_option(value.integer()),
        Kind::String => Read::from_option(word(value).and_then(|text| text.parse().ok())),
        Kind::Object | Kind::Array => Read::Unreadable,
    }
}

const fn bit(number: i64) -> Option<bool> {
    match number {
        0 => Some(false),
        1 => Some(true),
        _ => None,
    }
}

fn word(value: &Value<'_>) -> Option<String> {
    let short = value.raw.len() <= MAX_STRING_BYTES;
    short.then(|| value.text()).flatten().map(|text| text.trim().to_ascii_lowercase())
}

fn flag_word(text: &str) -> Option<bool> {
    match text {
        "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
        "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
        _ => None,
    }
}
