//! What a relayed stream tells: its tokens, its usage, and how it ended. Without parsing JSON for each token.
//!
//! A [`Scan`] is fed the bytes as they pass, cut anywhere. It finds lines with memchr, and looks at no more than the
//! first 4 KiB of a line, so its state is bounded and what it says never depends on the cuts. What is
//! cheap to find is found by searching for a member's name: inside a JSON string its quotes would be escaped, so a
//! prompt or answer cannot pretend to be one.

mod line;

#[cfg(test)]
mod tests;

use memchr::memchr;

use self::line::{Named, SseLine};
use crate::response::usage::Usage;

/// How much of a line is looked at, in bytes.
const LOOKED_AT: usize = 4096;

/// What one piece of a stream brought.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fed {
    /// Events with content: for vLLM about one a token.
    pub content_events: u32,
}

/// Why the model stopped, as the stream said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Finish {
    /// It said all, or met a stop string.
    Stop,
    /// As many tokens as were asked for, or as fit.
    Length,
    /// It calls tools.
    ToolCalls,
    /// The endpoint gave the request up, as vLLM does when it is told to end.
    Abort,
    /// Any other reason.
    Other,
}

/// What is known of a stream so far; at its end: what is known of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Events with data, of any kind.
    pub events: u32,
    /// Events with content.
    pub content_events: u32,
    /// The stream said that it is complete (`[DONE]`, or the last event of the responses or messages API).
    pub done_seen: bool,
    /// The stream carried an error.
    pub error_seen: bool,
    /// The last usage that the stream carried.
    pub usage: Option<Usage>,
    /// The last reason to stop.
    pub finish: Option<Finish>,
    /// It was complete, without an error or abort, and nothing was cut off.
    pub clean_end: bool,
}

/// Follows one stream of server-sent events.
#[derive(Clone, Debug, Default)]
pub struct Scan {
    /// The start of a line whose end has not come yet; at most [`LOOKED_AT`] bytes.
    cut_line: Vec<u8>,
    /// A line has begun, also if only with bytes that are not looked at.
    in_line: bool,
    /// What the event's own name says of it.
    named: Named,
    /// The event already had data.
    has_data: bool,
    seen: Summary,
}

impl Scan {
    /// The next bytes of the stream.
    pub fn feed(&mut self, bytes: &[u8]) -> Fed {
        let before = self.seen.content_events;
        let mut rest = bytes;
        while let Some(end) = memchr(b'\n', rest) {
            self.line_ends(&rest[..end]);
            rest = &rest[end + 1..];
        }
        self.keep(rest);
        Fed { content_events: self.seen.content_events - before }
    }

    /// Whether the bytes so far end inside a line.
    #[must_use]
    pub const fn in_line(&self) -> bool {
        self.in_line
    }

    /// What is known so far.
    #[must_use]
    pub fn summary(&self) -> Summary {
        let seen = self.seen;
        let unharmed = !seen.error_seen && seen.finish != Some(Finish::Abort);
        Summary { clean_end: seen.done_seen && unharmed && !self.in_line, ..seen }
    }

    /// Keeps what is looked at of a line whose end is still to come.
    fn keep(&mut self, part: &[u8]) {
        let room = LOOKED_AT - self.cut_line.len();
        self.cut_line.extend_from_slice(&part[..part.len().min(room)]);
        self.in_line |= !part.is_empty();
    }

    fn line_ends(&mut self, part: &[u8]) {
        if !self.in_line {
            return self.line(&part[..part.len().min(LOOKED_AT)]);
        }
        self.keep(part);
        let mut line = std::mem::take(&mut self.cut_line);
        self.line(&line);
        line.clear();
        self.cut_line = line;
        self.in_line = false;
    }

    /// Reads a line: the whole of it, or its first [`LOOKED_AT`] bytes.
    fn line(&mut self, line: &[u8]) {
        match SseLine::of(line) {
            SseLine::End => {
                self.named = Named::Not;
                self.has_data = false;
            }
            SseLine::Name(name) => self.named = Named::of(name),
            SseLine::Data(data) if !self.has_data => {
                self.has_data = true;
                self.data(data);
            }
            SseLine::Data(_) | SseLine::Ignored => {}
        }
    }

    fn data(&mut self, data: &[u8]) {
        self.seen.events += 1;
        if data == b"[DONE]" {
            self.seen.done_seen = true;
            return;
        }
        if self.named == Named::Error || line::is_error(data) {
            self.seen.error_seen = true;
            return;
        }
        self.seen.done_seen |= self.named == Named::Done;
        self.seen.usage = line::usage(data).map(|usage| self.merged(usage)).or(self.seen.usage);
        self.seen.finish = line::finish(data).or(self.seen.finish);
        let content = match self.named {
            Named::Not => {
                line::has_choice(data)
                    && (self.seen.content_events > 0 || !line::is_role_only(data))
            }
            Named::Delta => true,
            Named::Done | Named::Error | Named::Other => false,
        };
        self.seen.content_events += u32::from(content);
    }
    /// The messages API counts the prompt in its first event only.
    fn merged(&self, usage: Usage) -> Usage {
        let earlier = self.seen.usage.unwrap_or_default().prompt_tokens;
        Usage { prompt_tokens: usage.prompt_tokens.max(earlier), ..usage }
    }
}
