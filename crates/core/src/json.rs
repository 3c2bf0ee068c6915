//! JSON text, read in one pass, value by value, without building anything of it.
//!
//! A [`Scanner`](scanner::Scanner) pulls: the caller enters an object or array, asks for one member or item after the
//! other, and skips what it does not want. What is skipped is checked by RFC 8259 (UTF-8, nesting, strings, escapes,
//! numbers), so a text that was walked to its end has one meaning for every later reader. Nothing recurses. Strings are
//! crossed at memchr speed.
//!
//! Must not know: requests, answers, or the name of any member.

pub mod error;
pub mod members;
pub mod scanner;
mod skip;
pub mod text;
pub mod value;

#[cfg(test)]
pub(crate) mod arbitrary;
#[cfg(test)]
mod tests;
