//! What is read from an answer's bytes as they pass.

use bytes::Bytes;
use qoe_core::response::usage::{Usage, usage_of};

use crate::answer::event_stream::EventStream;

/// Largest answer in one piece that is searched for its usage: an estimate learns from it, so a long answer that is
/// not kept costs one sample. Half would lose answers of many choices; double holds twice as much a request.
const MAX_KEPT_BYTES: usize = 1 << 20;

/// How an answer's bytes are read as they pass.
pub(crate) enum Tap {
    /// A stream of events.
    Events(EventStream),
    /// An answer in one piece, kept by reference for its usage. `size` counts also what is not kept any more.
    Whole { chunks: Vec<Bytes>, size: usize },
    /// Bytes in an unknown format.
    Nothing,
}

impl Tap {
    /// A stream of events. `must_say_done`: it is broken if it ends without `[DONE]` or an error.
    pub(crate) fn events(must_say_done: bool) -> Self {
        Self::Events(EventStream::new(must_say_done))
    }

    /// An answer in one piece.
    pub(crate) const fn whole() -> Self {
        Self::Whole { chunks: Vec::new(), size: 0 }
    }

    /// Keeps a chunk of an answer in one piece.
    pub(super) fn keep(&mut self, chunk: &Bytes) {
        if let Self::Whole { chunks, size } = self {
            *size += chunk.len();
            if *size <= MAX_KEPT_BYTES {
                chunks.push(chunk.clone());
            } else {
                // Without its end the usage cannot be found.
                chunks.clear();
            }
        }
    }

    /// The usage that the answer carried so far.
    pub(super) fn usage(&self) -> Option<Usage> {
        match self {
            Self::Events(stream) => stream.usage(),
            Self::Whole { chunks, .. } => match chunks.as_slice() {
                [only] => usage_of(only),
                chunks => usage_of(&chunks.concat()),
            },
            Self::Nothing => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: &str = r#"{"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}"#;

    #[test]
    fn the_usage_of_an_answer_in_one_piece_is_found_however_it_is_cut() {
        for cut in 0..ANSWER.len() {
            let mut tap = Tap::whole();
            for part in [&ANSWER[..cut], &ANSWER[cut..]] {
                assert_eq!(tap.usage(), None, "before its end");
                tap.keep(&Bytes::from_static(part.as_bytes()));
            }
            let usage = tap.usage().unwrap();
            assert_eq!((usage.prompt_tokens, usage.completion_tokens), (7, 3));
        }
    }

    #[test]
    fn a_large_answer_is_not_kept() {
        let mut tap = Tap::whole();
        tap.keep(&Bytes::from(vec![b' '; MAX_KEPT_BYTES]));
        tap.keep(&Bytes::from_static(ANSWER.as_bytes()));
        assert_eq!(tap.usage(), None);
        assert!(matches!(&tap, Tap::Whole { chunks, .. } if chunks.is_empty()));
        let mut tap = Tap::whole();
        tap.keep(&Bytes::from(vec![b' '; MAX_KEPT_BYTES - ANSWER.len()]));
        tap.keep(&Bytes::from_static(ANSWER.as_bytes()));
        assert!(tap.usage().is_some());
    }
}
