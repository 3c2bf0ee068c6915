//! The values that are walked rather than crossed: messages, prompts, and arguments that reach the engine.

use super::{AnalyzeError, Name};
use crate::json::{JsonError, Kind, Scanner};

/// Bytes of the longest model name, role or response id that is read, quotes included.
pub(super) const LONGEST_NAME: usize = 1024;

/// What a `prompt` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Absent, or of no readable type.
    #[default]
    None,
    Text,
    /// A list of so many token ids.
    Tokens(u32),
    /// A list of prompts, be it only one.
    Batch,
}

impl Prompt {
    pub(super) const fn tokens(self) -> Option<u32> {
        match self {
            Self::Tokens(count) => Some(count),
            _ => None,
        }
    }
}

/// Reads one message.
pub(super) fn is_assistant(scan: &mut Scanner<'_>) -> Result<bool, JsonError> {
    if scan.peek()? != Kind::Object {
        return scan.skip().map(|_| false);
    }
    let mut assistant = false;
    let mut message = scan.object()?;
    while let Some(key) = scan.key(&mut message)? {
        let value = scan.skip()?;
        if key.is("role") {
            assistant = value.raw.len() <= LONGEST_NAME
                && value.text().is_some_and(|role| role == "assistant");
        }
    }
    Ok(assistant)
}

/// Text, one list of token ids, or a list of prompts.
pub(super) fn prompt(scan: &mut Scanner<'_>) -> Result<Prompt, JsonError> {
    match scan.peek()? {
        Kind::String => scan.skip().map(|_| Prompt::Text),
        Kind::Array => prompt_list(scan),
        _ => scan.skip().map(|_| Prompt::None),
    }
}

fn prompt_list(scan: &mut Scanner<'_>) -> Result<Prompt, JsonError> {
    let (mut count, mut all_tokens) = (0_u32, true);
    let mut list = scan.array()?;
    while scan.item(&mut list)? {
        all_tokens &= scan.skip()?.kind == Kind::Number;
        count += 1;
    }
    Ok(if all_tokens && count > 0 { Prompt::Tokens(count) } else { Prompt::Batch })
}

/// vLLM copies these to where the engine looks for its transfer parameters, so none may hide there.
pub(super) fn extra_arguments(member: Name, scan: &mut Scanner<'_>) -> Result<(), AnalyzeError> {
    if scan.peek()? != Kind::Object {
        scan.skip()?;
        return Ok(());
    }
    let mut arguments = scan.object()?;
    while let Some(key) = scan.key(&mut arguments)? {
        if let Some(name) = Name::of(&key).filter(|name| name.is_stripped()) {
            return Err(AnalyzeError::Reserved {
                member: member.as_str(),
                key: name.as_str(),
                at: key.at,
            });
        }
        scan.skip()?;
    }
    Ok(())
}

/// The token API nests the same arguments in `sampling_params.extra_args`.
pub(super) fn sampling_params(scan: &mut Scanner<'_>) -> Result<(), AnalyzeError> {
    if scan.peek()? != Kind::Object {
        scan.skip()?;
        return Ok(());
    }
    let mut params = scan.object()?;
    while let Some(key) = scan.key(&mut params)? {
        if key.is("extra_args") {
            extra_arguments(Name::SamplingParams, scan)?;
        } else {
            scan.skip()?;
        }
    }
    Ok(())
}
