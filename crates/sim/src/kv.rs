//! The KV cache as a pool of blocks: reference counts, a prefix cache keyed by chained hashes, and eviction of the
//! least recently used blocks.
//!
//! Invariant: every block is either held (references > 0) or in the free list. A free block keeps its hash, and can be
//! found by it, until it is allocated for other content.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::{BuildHasherDefault, Hasher};

/// The index of a block in the pool.
pub type BlockId = u32;

const NONE: u32 = u32::MAX;

#[derive(Clone, Debug)]
struct Block {
    references: u32,
    hash: Option<u64>,
    // The free list is linked through the blocks, so a cached block is taken out of its middle in O(1).
    previous: u32,
    next: u32,
}

/// All KV blocks of one engine.
#[derive(Clone, Debug)]
pub struct BlockPool {
    blocks: Vec<Block>,
    cached: HashMap<u64, BlockId, BuildHasherDefault<Hashed>>,
    /// The ends of the free list: the block that was freed first, and the one freed last.
    oldest: u32,
    newest: u32,
    free: usize,
}

impl BlockPool {
    /// Creates a pool of `count` empty blocks.
    #[must_use]
    pub fn new(count: u32) -> Self {
        let block = Block { references: 0, hash: None, previous: NONE, next: NONE };
        let mut pool = Self {
            blocks: vec![block; count as usize],
            cached: HashMap::default(),
            oldest: NONE,
            newest: NONE,
            free: 0,
        };
        (0..count).for_each(|id| pool.push_free(id));
        pool
    }

    /// The number of blocks.
    #[must_use]
    pub fn total(&self) -> usize {
        self.blocks.len()
    }

    /// The number of blocks without references. They may still be cached.
    #[must_use]
    pub fn free(&self) -> usize {
        self.free
    }

    /// The number of blocks with references. It is O(blocks), so it is for tests and reports only.
    #[must_use]
    pub fn held(&self) -> usize {
        self.blocks.iter().filter(|block| block.references > 0).count()
    }

    /// How many of `hashes` are cached, from the first one to the first gap.
    #[must_use]
    pub fn cached_prefix(&self, hashes: &[u64]) -> usize {
        hashes.iter().take_while(|hash| self.cached.contains_key(hash)).count()
    }

    /// Takes a reference to the block cached under `hash`, if there is one.
    pub fn acquire(&mut self, hash: u64) -> Option<BlockId> {
        let id = *self.cached.get(&hash)?;
        if self.blocks[id as usize].references == 0 {
            // Its content is in use again, so it must not be allocated for other content.
            self.unlink(id);
        }
        self.blocks[id as usize].references += 1;
        Some(id)
    }

    /// Allocates the free block that was freed first, and evicts its content. Returns `None` if all blocks are held.
    pub fn allocate(&mut self) -> Option<BlockId> {
        let id = self.oldest;
        if id == NONE {
            return None;
        }
        self.unlink(id);
        let block = &mut self.blocks[id as usize];
        block.references = 1;
        // The new content overwrites the cached one, which must not be found any more.
        if let Some(hash) = block.hash.take() {
            self.cached.remove(&hash);
        }
        Some(id)
    }

    /// Caches a held block under the hash of its content. If a block with this content is cached already, that one
    /// stays.
    pub fn register(&mut self, id: BlockId, hash: u64) {
        let block = &mut self.blocks[id as usize];
        // Two requests may compute the same content in one step. One cached copy is enough.
        if block.hash.is_none()
            && let Entry::Vacant(free) = self.cached.entry(hash)
        {
            free.insert(id);
            block.hash = Some(hash);
        }
    }

    /// Releases one reference to each block.
    pub fn release(&mut self, blocks: &[BlockId]) {
        // The last block goes first, because a prefix is useless without its start.
        for id in blocks.iter().rev() {
            let block = &mut self.blocks[*id as usize];
            debug_assert!(block.references > 0, "block {id} released twice");
            block.references -= 1;
            if block.references == 0 {
                self.push_free(*id);
            }
        }
    }

    /// Clears the prefix cache. Held blocks stay held.
    pub fn reset_cache(&mut self) {
        self.cached.clear();
        self.blocks.iter_mut().for_each(|block| block.hash = None);
    }

    fn push_free(&mut self, id: u32) {
        let newest = self.newest;
        let block = &mut self.blocks[id as usize];
        (block.previous, block.next) = (newest, NONE);
        match newest {
            NONE => self.oldest = id,
            last => self.blocks[last as usize].next = id,
        }
        self.newest = id;
        self.free += 1;
    }

    fn unlink(&mut self, id: u32) {
        let Block { previous, next, .. } = self.blocks[id as usize];
        match previous {
            NONE => self.oldest = next,
            block => self.blocks[block as usize].next = next,
        }
        match next {
            NONE => self.newest = previous,
            block => self.blocks[block as usize].previous = previous,
        }
        self.free -= 1;
    }
}

/// A hasher that returns its key, which is a hash already. Hashing it again would dominate the cost of a long prompt.
#[derive(Clone, Copy, Debug, Default)]
struct Hashed(u64);

impl Hasher for Hashed {
    fn write(&mut self, bytes: &[u8]) {
        self.0 = bytes.iter().fold(self.0, |hash, byte| hash << 8 | u64::from(*byte));
    }

    fn write_u64(&mut self, hash: u64) {
        self.0 = hash;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_freed_prefix_is_found_again_until_it_is_evicted() {
        let mut pool = BlockPool::new(3);
        let blocks: Vec<_> = (0..3).filter_map(|_| pool.allocate()).collect();
        for (id, hash) in blocks.iter().zip([10, 11, 12]) {
            pool.register(*id, hash);
        }
        assert_eq!(pool.allocate(), None);
        pool.release(&blocks);
        assert_eq!(pool.cached_prefix(&[10, 11, 12]), 3);
        pool.allocate().unwrap();
        assert_eq!(pool.cached_prefix(&[10, 11, 12]), 2, "the end goes first");
    }

    #[test]
    fn a_shared_block_is_free_only_when_all_let_go() {
        let mut pool = BlockPool::new(2);
        let id = pool.allocate().unwrap();
        pool.register(id, 7);
        assert_eq!(pool.acquire(7), Some(id));
        pool.release(&[id]);
        assert_eq!(pool.free(), 1);
        pool.release(&[id]);
        assert_eq!(pool.free(), 2);
        assert_eq!(pool.acquire(8), None);
    }

    proptest! {
        #[test]
        fn blocks_are_conserved(steps in prop::collection::vec((0u8..4, 0u64..12), 1..200)) {
            let mut pool = BlockPool::new(8);
            let mut held: Vec<BlockId> = Vec::new();
            for (kind, hash) in steps {
                match kind {
                    0 => held.extend(pool.allocate()),
                    1 => held.extend(pool.acquire(hash)),
                    2 => if let Some(id) = held.last() { pool.register(*id, hash) },
                    _ => if !held.is_empty() {
                        let id = held.swap_remove(hash as usize % held.len());
                        pool.release(&[id]);
                    },
                }
                prop_assert_eq!(pool.free() + pool.held(), pool.total());
                let mut distinct = held.clone();
                distinct.sort_unstable();
                distinct.dedup();
                prop_assert_eq!(distinct.len(), pool.held());
            }
        }
    }
}
