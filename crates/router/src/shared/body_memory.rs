//! The memory that all request bodies may hold together: without a limit, slow or numerous uploads could fill the
//! machine. It counts bytes that are held, and must not know what a body is.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are left for bodies.
#[derive(Debug)]
pub(crate) struct BodyMemory(AtomicUsize);

impl BodyMemory {
    /// Memory of this many bytes.
    pub(crate) const fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// Takes `bytes`; `None` where fewer are left.
    pub(crate) fn reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let take = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).ok()?;
        Some(Reserved { memory: Arc::clone(self), bytes })
    }

    /// Bytes that are left now.
    #[cfg(test)]
    pub(crate) fn left(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// Bytes that somebody holds; given back on drop.
#[derive(Debug)]
pub(crate) struct Reserved {
    memory: Arc<BodyMemory>,
    bytes: usize,
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.memory.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_share_what_there_is_and_give_it_back() {
        let memory = Arc::new(BodyMemory::new(100));
        let (a, b) = (memory.reserve(60), memory.reserve(40));
        assert!(a.is_some() && b.is_some() && memory.reserve(1).is_none());
        drop(a);
        assert!(memory.reserve(61).is_none() && memory.left() == 60);
        assert!(memory.reserve(60).is_some());
    }
}
