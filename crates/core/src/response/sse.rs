//! Follows a relayed stream of server-sent events: its tokens, its usage, and how it ended.
//!
//! A [`Scan`] is fed the bytes as they pass, cut anywhere. It finds lines with memchr and reads no more than the first
//! 4 KiB of a line, so its state is bounded, and its summary does not depend on the cuts. It does not parse the JSON of
//! each token, but searches for the names of members: inside a JSON string their quotes would be escaped, so no prompt
//! or answer can forge one.

mod line;
mod summary;

#[cfg(test)]
mod tests;

use memchr::memchr;

use self::line::{EventName, SseLine};
pub use self::summary::{Finish, Summary};
use crate::response::usage::Usage;

/// The part of a line that is read, in bytes. The usage of a chat stream ends some 700 bytes into its line; double
/// costs memory for each stream whose lines are long.
const MAX_READ: usize = 4096;

/// The events in one piece of a stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Number of events with content; vLLM sends about one for each token.
    pub content_events: u32,
}

/// Follows one stream of server-sent events.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The start of a line whose end has not come yet; at most [`MAX_READ`] bytes.
    cut_line: Vec<u8>,
    /// Whether a line has begun.
    in_line: bool,
    /// The kind of the current event, by its name.
    name: EventName,
    /// Whether the current event already had data.
    has_data: bool,
    summary: Summary,
}

impl Scan {
    /// Reads the next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        let before = self.summary.content_events;
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            self.line_ends(&rest[..end]);
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        Fed { content_events: self.summary.content_events - before }
    }

    /// Whether the bytes so far end inside a line.
    #[must_use]
    pub const fn in_line(&self) -> bool {
        self.in_line
    }

    /// What the events so far have said.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let summary = self.summary;
        let unharmed = !summary.error_seen && summary.finish != Some(Finish::Abort);
        Summary { clean_end: summary.done_seen && unharmed && !self.in_line, ..summary }
    }

    /// Keeps the part that is read of a line whose end is still to come.
    fn keep(&mut self, part: &[u8]) {
        let room = MAX_READ - self.cut_line.len();
        self.cut_line.extend_from_slice(&part[..part.len().min(room)]);
        self.in_line |= !part.is_empty();
    }

    fn line_ends(&mut self, part: &[u8]) {
        if !self.in_line {
            return self.line(&part[..part.len().min(MAX_READ)]);
        }
        self.keep(part);
        let mut line = std::mem::take(&mut self.cut_line);
        self.line(&line);
        line.clear();
        self.cut_line = line;
        self.in_line = false;
    }

    /// Reads a line: the whole of it, or its first [`MAX_READ`] bytes.
    fn line(&mut self, line: &[u8]) {
        match SseLine::of(line) {
            SseLine::End => {
                self.name = EventName::None;
                self.has_data = false;
            }
            SseLine::Name(name) => self.name = EventName::of(name),
            SseLine::Data(data) if !self.has_data => {
                self.has_data = true;
                self.data(data);
            }
            SseLine::Data(_) | SseLine::Ignored => {}
        }
    }

    /// Reads the data of an event.
    fn data(&mut self, data: &[u8]) {
        self.summary.events += 1;
        if data == b"[DONE]" {
            self.summary.done_seen = true;
            // Nothing continues this event, so data on the next line are another one, also without an empty line
            // between.
            self.has_data = false;
            return;
        }
        if self.name == EventName::Error || line::is_error(data) {
            self.summary.error_seen = true;
            return;
        }
        self.summary.done_seen |= self.name == EventName::Done;
        self.summary.usage =
            line::usage(data).map(|usage| self.merged(usage)).or(self.summary.usage);
        self.summary.finish = line::finish(data).or(self.summary.finish);
        let content = match self.name {
            EventName::None => {
                line::has_choice(data)
                    && (self.summary.content_events > 0 || !line::is_role_only(data))
            }
            EventName::Delta => true,
            EventName::Done | EventName::Error | EventName::Other => false,
        };
        self.summary.content_events += u32::from(content);
    }

    /// `usage`, with the prompt's tokens from an earlier event if it lacks them: the messages API counts the prompt in
    /// its first event only.
    fn merged(&self, usage: Usage) -> Usage {
        let earlier = self.summary.usage.unwrap_or_default().prompt_tokens;
        Usage { prompt_tokens: usage.prompt_tokens.max(earlier), ..usage }
    }
}
