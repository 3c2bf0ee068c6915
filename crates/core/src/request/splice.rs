//! The bodies of the legs, made from the client's by cutting and inserting bytes.
//!
//! A prompt is never copied: the parts that stay are slices of the client's body, and only inserted bytes are new.
//! Whatever clients say of KV transfer (`kv_transfer_params`, `ec_transfer_params`, `bootstrap_*`) is cut from every
//! body: one such body can end an engine's process, another makes it answer from another client's KV.
//!
//! Must not know: routes, endpoints, or why a request is handed off.

mod edits;
mod segments;

#[cfg(test)]
mod tests;

use bytes::Bytes;

use self::edits::Edits;
pub use self::segments::Segments;
use crate::request::analyze::members::Name;
use crate::request::analyze::{Analysis, Priority};

/// What the bodies of a request's legs are made from.
#[derive(Clone, Copy, Debug)]
pub struct Legs<'a> {
    /// The client's body.
    pub body: &'a Bytes,
    /// The analysis of this very body.
    pub analysis: &'a Analysis,
    /// Whether the endpoint serves by the member `priority`, the lowest first. It is then added unless the client set
    /// it. Other engines refuse a body that has it.
    pub by_priority: bool,
}

impl Legs<'_> {
    /// The body for an endpoint that serves the request whole: the client's, without stripped members. Where there is
    /// nothing to edit it is the very same `Bytes`.
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
