//! What is read from an answer's bytes as they pass.

use bytes::Bytes;
use qoe_core::response::sse::Scan;

/// What is noted of the bytes that pass.
pub(crate) enum Tap {
    /// A stream of events. `must_say_done`: it is broken off if it ends without `[DONE]` or an error.
    Events { scan: Scan, must_say_done: bool },
    /// An answer in one piece, kept by reference for its usage.
    Whole { chunks: Vec<Bytes>, size: usize },
    /// Nothing.
    Nothing,
}

impl Tap {
    pub(crate) fn events(must_say_done: bool) -> Self {
        Self::Events { scan: Scan::default(), must_say_done }
    }

    pub(crate) const fn whole() -> Self {
        Self::Whole { chunks: Vec::new(), size: 0 }
    }
}
