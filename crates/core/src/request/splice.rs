//! The bodies that go upstream, made of the client's by cutting and inserting bytes.
//!
//! A prompt is never copied: what stays of the client's body are slices of it, and only what is inserted is new.
//! Whatever clients say of KV transfer (`kv_transfer_params`, `ec_transfer_params`, `bootstrap_*`) is cut from every
//! body: one such body can end an engine's process, another makes it answer from a stranger's KV.

mod edits;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use smallvec::SmallVec;

use self::edits::Edits;
use crate::request::analyze::{Analysis, Name, Priority};

/// A body in pieces, to be written one after the other.
#[derive(Clone, Debug)]
pub struct Segments {
    parts: smallvec::IntoIter<[Bytes; 8]>,
}

impl Segments {
    /// Bytes still to come: at the start, the `content-length`.
    #[must_use]
    pub fn len_bytes(&self) -> usize {
        self.parts.as_slice().iter().map(Bytes::len).sum()
    }
}

impl From<SmallVec<[Bytes; 8]>> for Segments {
    fn from(parts: SmallVec<[Bytes; 8]>) -> Self {
        Self { parts: parts.into_iter() }
    }
}

impl From<Bytes> for Segments {
    /// A body in one piece; without any byte there is no piece.
    fn from(body: Bytes) -> Self {
        Self {
            parts: (!body.is_empty())
                .then_some(body)
                .into_iter()
                .collect::<SmallVec<_>>()
                .into_iter(),
        }
    }
}

impl Iterator for Segments {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        self.parts.next()
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.parts.size_hint()
    }
}

impl ExactSizeIterator for Segments {}

/// What legs are made of.
#[derive(Clone, Copy, Debug)]
pub struct Legs<'a> {
    /// The client's body.
    pub body: &'a Bytes,
    /// The analysis of this very body.
    pub analysis: &'a Analysis,
    /// The endpoint serves by the member `priority`, the lowest first: it is added, unless the client has set it. An
    /// engine that does not refuses a body that has it.
    pub by_priority: bool,
}

impl Legs<'_> {
    /// The body for an endpoint that serves the request whole: the client's, without what is stripped. It is the very
    /// same `Bytes` where there is nothing to edit.
    #[must_use]
    pub fn whole(self) -> Segments {
        self.edits(Name::is_stripped).apply(self.body)
    }

    /// The body of the prefill leg: one token, not streamed, with `kv_params`, a JSON object, as `kv_transfer_params`.
    #[must_use]
    pub fn prefill(self, kv_params: &[u8]) -> Segments {
        let cut = |name: Name| {
            name.is_stripped() || matches!(name, Name::MinTokens | Name::StreamOptions)
        };
        self.edits(cut)
            .set(Name::MaxTokens, b"1")
            .set(Name::Stream, b"false")
            .replace(Name::MaxCompletionTokens, b"1")
            .replace(Name::N, b"1")
            .append(Name::KvTransferParams, kv_params)
            .apply(self.body)
    }

    /// The body of the decoding leg: the client's, with `kv_params`, a JSON object, as `kv_transfer_params`.
    #[must_use]
    pub fn decoding(self, kv_params: &[u8]) -> Segments {
        self.edits(Name::is_stripped).append(Name::KvTransferParams, kv_params).apply(self.body)
    }

    /// The edits that all legs have in common.
    fn edits(&self, cut: impl Fn(Name) -> bool) -> Edits<'_> {
        let edits = Edits::of(&self.analysis.members).strip(cut);
        match self.analysis.priority {
            _ if !self.by_priority => edits,
            Priority::High => edits.add(Name::Priority, b"0"),
            Priority::Medium => edits.add(Name::Priority, b"1"),
            Priority::Low => edits.add(Name::Priority, b"2"),
        }
    }
}
