//! A body in pieces.

use bytes::Bytes;
use smallvec::SmallVec;

/// A body in pieces, which are written one after the other.
#[derive(Clone, Debug)]
pub struct Segments {
    parts: smallvec::IntoIter<[Bytes; 8]>,
}

impl Segments {
    /// Bytes of the pieces that are left; at the start, the `content-length`.
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
    /// A body in one piece; an empty body has none.
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
