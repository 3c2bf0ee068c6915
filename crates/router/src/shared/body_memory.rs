//! The memory that request bodies may hold together: without a limit, slow or many uploads could fill the machine.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// The number of bytes that are left for bodies.
#[derive(Debug)]
pub(crate) struct BodyMemory(AtomicUsize);

impl BodyMemory {
    pub(crate) const fn new(bytes: usize) -> Self {
        Self(AtomicUsize::new(bytes))
    }

    /// A reservation of 0 bytes, for one body.
    pub(crate) fn reserve(self: &Arc<Self>) -> Reserved {
        Reserved { memory: Arc::clone(self), bytes: 0 }
    }
}

/// The bytes that one body holds; given back on drop.
#[derive(Debug)]
pub(crate) struct Reserved {
    memory: Arc<BodyMemory>,
    bytes: usize,
}

impl Reserved {
    /// Takes `more` bytes; false, and nothing taken, where fewer are left.
    pub(crate) fn grow(&mut self, more: usize) -> bool {
        let left = &self.memory.0;
        let taken =
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(more));
        if taken.is_ok() {
            self.bytes += more;
        }
        taken.is_ok()
    }
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
        let (mut a, mut b) = (memory.reserve(), memory.reserve());
        assert!(a.grow(60) && b.grow(40) && !b.grow(1));
        drop(a);
        assert!(b.grow(60) && !b.grow(1));
    }
}
