//! The transfer parameters and the usage in an answer that came whole.

use crate::json::error::JsonError;
use crate::json::scanner::Scanner;
use crate::json::value::{Kind, Value};

#[cfg(test)]
mod tests;

/// The tokens of one request, as the endpoint counted them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Tokens of the prompt.
    pub prompt_tokens: u64,
    /// Tokens of the answer.
    pub completion_tokens: u64,
    /// Tokens of the prompt that were in the endpoint's prefix cache; `None` if the endpoint does not say.
    pub cached_tokens: Option<u64>,
}

/// The value of `kv_transfer_params` at the top level of a prefill answer, as it was sent, if it is an object.
///
/// An answer that is not JSON, or has two of them, has none: the decoding endpoint then prefills by itself.
#[must_use]
pub fn kv_params_of(answer: &[u8]) -> Option<&[u8]> {
    let value = member(answer, "kv_transfer_params")?;
    (value.kind == Kind::Object).then_some(value.raw)
}

/// The `usage` of an answer of the chat, completions, responses or messages API.
#[must_use]
pub fn usage_of(answer: &[u8]) -> Option<Usage> {
    read_usage(&mut Scanner::trusting(member(answer, "usage")?.raw)).ok()?
}

/// The only member of this name of a whole, valid object.
fn member<'a>(answer: &'a [u8], name: &str) -> Option<Value<'a>> {
    let mut scan = Scanner::new(answer).ok()?;
    let mut open = scan.object().ok()?;
    let mut found = None;
    while let Some(key) = scan.key(&mut open).ok()? {
        let value = scan.skip().ok()?;
        if key.is(name) && found.replace(value).is_some() {
            return None;
        }
    }
    scan.end().ok()?;
    found
}

/// Reads the usage object that is next. `None` if it has no count, or is `null`.
pub(crate) fn read_usage(scan: &mut Scanner<'_>) -> Result<Option<Usage>, JsonError> {
    if scan.peek()? != Kind::Object {
        return scan.skip().map(|_| None);
    }
    let mut usage = Usage::default();
    let mut counted = false;
    let mut open = scan.object()?;
    while let Some(key) = scan.key(&mut open)? {
        if key.is("prompt_tokens_details") || key.is("input_tokens_details") {
            usage.cached_tokens = cached(scan)?.or(usage.cached_tokens);
            continue;
        }
        let count = scan.skip()?.integer().and_then(|count| u64::try_from(count).ok());
        let Some(count) = count else { continue };
        if key.is("prompt_tokens") || key.is("input_tokens") {
            usage.prompt_tokens = count;
            counted = true;
        } else if key.is("completion_tokens") || key.is("output_tokens") {
            usage.completion_tokens = count;
            counted = true;
        } else if key.is("cache_read_input_tokens") {
            usage.cached_tokens = Some(count);
        }
    }
    Ok(counted.then_some(usage))
}

/// Reads `cached_tokens` in the details of a usage object.
fn cached(scan: &mut Scanner<'_>) -> Result<Option<u64>, JsonError> {
    if scan.peek()? != Kind::Object {
        return scan.skip().map(|_| None);
    }
    let mut cached = None;
    let mut open = scan.object()?;
    while let Some(key) = scan.key(&mut open)? {
        let value = scan.skip()?;
        if key.is("cached_tokens") {
            cached = value.integer().and_then(|count| u64::try_from(count).ok());
        }
    }
    Ok(cached)
}
