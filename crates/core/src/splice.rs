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
use crate::analyze::{Analysis, Name};

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

/// The body for an endpoint that serves the request whole: the client's, without what is stripped. It is the very
/// same `Bytes` where there is nothing to strip.
///
/// `analysis` must be of this `body`, as for all functions here.
#[must_use]
pub fn whole(body: &Bytes, analysis: &Analysis) -> Segments {
    Edits::of(&analysis.members).strip(Name::is_stripped).apply(body)
}

/// The body of the prefill leg: one token, not streamed, with `kv_params`, a JSON object, as `kv_transfer_params`.
#[must_use]
pub fn prefill_leg(body: &Bytes, analysis: &Analysis, kv_params: &[u8]) -> Segments {
    let cut =
        |name: Name| name.is_stripped() || matches!(name, Name::MinTokens | Name::StreamOptions);
    Edits::of(&analysis.members)
        .strip(cut)
        .set(Name::MaxTokens, b"1")
        .set(Name::Stream, b"false")
        .replace(Name::MaxCompletionTokens, b"1")
        .replace(Name::N, b"1")
        .append(Name::KvTransferParams, kv_params)
        .apply(body)
}

/// The body of the decoding leg: the client's, with `kv_params`, a JSON object, as `kv_transfer_params`.
#[must_use]
pub fn decoding_leg(body: &Bytes, analysis: &Analysis, kv_params: &[u8]) -> Segments {
    Edits::of(&analysis.members)
        .strip(Name::is_stripped)
        .append(Name::KvTransferParams, kv_params)
        .apply(body)
}
