//! One line of a stream, and the members of its data that the router reads.

use std::sync::LazyLock;

use memchr::memmem::Finder;

use crate::json::error::JsonError;
use crate::json::scanner::Scanner;
use crate::json::value::Kind;
use crate::response::sse::summary::Finish;
use crate::response::usage::{Usage, read_usage};

/// One line of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SseLine<'a> {
    /// An empty line, which ends an event.
    End,
    /// `data:`
    Data(&'a [u8]),
    /// `event:`
    Name(&'a [u8]),
    /// A comment, or a field that the router does not read.
    Ignored,
}

impl<'a> SseLine<'a> {
    /// Reads a line that has lost its line feed; a carriage return before that is part of the line's end.
    pub(super) fn of(line: &'a [u8]) -> Self {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() {
            return Self::End;
        }
        match (line.strip_prefix(b"data:"), line.strip_prefix(b"event:")) {
            (Some(data), _) => Self::Data(data.trim_ascii()),
            (_, Some(name)) => Self::Name(name.trim_ascii()),
            _ => Self::Ignored,
        }
    }
}

/// The kind of an event by its name, in the responses API (`response.output_text.delta`) and the messages API
/// (`content_block_delta`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum EventName {
    /// The event has no name, as in chat and completions.
    #[default]
    None,
    /// The event carries content.
    Delta,
    /// The last event of a stream that is complete.
    Done,
    /// The event carries an error.
    Error,
    /// Any other event around the content.
    Other,
}

impl EventName {
    pub(super) fn of(name: &[u8]) -> Self {
        match name {
            b"error" | b"response.failed" => Self::Error,
            b"message_stop" | b"response.completed" | b"response.incomplete" => Self::Done,
            b"content_block_delta" => Self::Delta,
            _ if name.ends_with(b".delta") => Self::Delta,
            _ => Self::Other,
        }
    }
}

static CHOICES: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"choices\""));
static DELTA: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"delta\""));
static FINISH: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"finish_reason\""));
static USAGE: LazyLock<Finder<'_>> = LazyLock::new(|| Finder::new(b"\"usage\""));

/// The data from the value of the first member of this name on. A *value* with the text of the name is passed over,
/// because no colon follows it.
fn after<'a>(data: &'a [u8], name: &Finder<'_>) -> Option<&'a [u8]> {
    name.find_iter(data).find_map(|at| {
        let rest = data[at + name.needle().len()..].trim_ascii_start();
        rest.strip_prefix(b":").map(<[u8]>::trim_ascii_start)
    })
}

/// Whether the data is an error: `{"error": …}` as vLLM sends it, or `{"object":"error",…}` as it once did.
pub(super) fn is_error(data: &[u8]) -> bool {
    let first_member = || -> Option<bool> {
        let mut scan = Scanner::trusting(data);
        let mut open = scan.object().ok()?;
        let key = scan.key(&mut open).ok()??;
        Some(key.is("error") || (key.is("object") && scan.skip().ok()?.raw == b"\"error\""))
    };
    first_member().unwrap_or(false)
}

/// Whether an event has a choice: all have but the one with `"choices":[]`, which carries the usage.
pub(super) fn has_choice(data: &[u8]) -> bool {
    let empty = |rest: &[u8]| {
        rest.strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"]"))
    };
    !after(data, &CHOICES).is_some_and(empty)
}

/// Whether an event carries only a role, as the first one of a chat does: each member of its `delta` but `role` is
/// empty.
pub(super) fn is_role_only(data: &[u8]) -> bool {
    let empty_but_role = |rest| -> Result<bool, JsonError> {
        let mut scan = Scanner::trusting(rest);
        let (mut role, mut empty) = (false, true);
        let mut open = scan.object()?;
        while let Some(key) = scan.key(&mut open)? {
            let value = scan.skip()?;
            role |= key.is("role");
            empty &= key.is("role") || matches!(value.raw, b"null" | b"\"\"" | b"[]");
        }
        Ok(role && empty)
    };
    after(data, &DELTA).is_some_and(|rest| empty_but_role(rest).unwrap_or(false))
}

/// The usage that an event carries.
pub(super) fn usage(data: &[u8]) -> Option<Usage> {
    let rest = after(data, &USAGE).filter(|rest| rest.starts_with(b"{"))?;
    read_usage(&mut Scanner::trusting(rest)).ok()?
}

/// The reason to stop that an event carries.
pub(super) fn finish(data: &[u8]) -> Option<Finish> {
    let rest = after(data, &FINISH).filter(|rest| rest.starts_with(b"\""))?;
    let value = Scanner::trusting(rest).skip().ok().filter(|value| value.kind == Kind::String)?;
    Some(match value.raw {
        b"\"stop\"" => Finish::Stop,
        b"\"length\"" => Finish::Length,
        b"\"tool_calls\"" => Finish::ToolCalls,
        b"\"abort\"" => Finish::Abort,
        _ => Finish::Other,
    })
}
