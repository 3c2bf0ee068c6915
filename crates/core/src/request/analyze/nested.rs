//! The values of a body whose insides are read: messages, prompts, and arguments that reach the engine.

use crate::json::error::JsonError;
use crate::json::scanner::Scanner;
use crate::json::value::Kind;
use crate::request::analyze::error::AnalyzeError;
use crate::request::analyze::members::Name;

/// The longest model name, role or response id that is read, in bytes, quotes included. Longer model names are
/// refused, because each is copied. The longest known names, paths of checkpoints, take some 200.
pub(super) const MAX_NAME_BYTES: usize = 1024;

/// The type of a `prompt`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Prompt {
    /// Absent, or of no readable type.
    #[default]
    None,
    Text,
    /// A list of this many token ids.
    Tokens(u32),
    /// A list of prompts, also if there is only one.
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

/// Whether the next message is the assistant's. Of two roles in one message the last counts, as for the engine.
pub(super) fn is_assistant(scan: &mut Scanner<'_>) -> Result<bool, JsonError> {
    if scan.peek()? != Kind::Object {
        return scan.skip().map(|_| false);
    }
    let mut assistant = false;
    let mut message = scan.object()?;
    while let Some(key) = scan.key(&mut message)? {
        let value = scan.skip()?;
        if key.is("role") {
            assistant = value.raw.len() <= MAX_NAME_BYTES
                && value.text().is_some_and(|role| role == "assistant");
        }
    }
    Ok(assistant)
}

/// Reads a `prompt`, and tells its type.
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

/// Crosses extra arguments and refuses transfer parameters among them: vLLM copies these arguments to where its engine
/// looks for transfer parameters.
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

/// Crosses `sampling_params`, in whose `extra_args` the token API nests the same arguments.
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
