//! Blocks that more endpoints hold than an entry can remember: for each, when every endpoint was sent it.

/// The number of blocks: a shared system prompt of 128,000 tokens. Half of it forgets holders of longer ones; double
/// costs 2 KiB more for each endpoint.
pub(super) const MAX_BLOCKS: usize = 512;
/// A block makes room only once this many insertions have passed it by. Without it, more blocks than there is room for
/// would push each other out all the time. Tuned in the lab, no sensitivity measured.
const UNUSED_FOR: u32 = 1000;

#[derive(Debug, Default)]
struct Block {
    hash: u64,
    seen: u32,
    /// The endpoints' stamps by their slots; 0 if an endpoint was never sent the block.
    stamps: Vec<u32>,
}

/// The blocks, by numbers from 1, and the slots of the endpoints.
#[derive(Debug, Default)]
pub(super) struct Wide {
    blocks: Vec<Block>,
    unused: Vec<u32>,
    slots: u32,
    free_slots: Vec<u32>,
}

impl Wide {
    /// The stamp of the endpoint with this slot; 0 if it has none.
    pub(super) fn stamp(&self, block: u32, slot: u32) -> u32 {
        let block = &self.blocks[block as usize - 1];
        block.stamps.get(slot as usize).copied().unwrap_or_default()
    }

    /// Notes that the endpoint with this slot was sent the block.
    pub(super) fn set(&mut self, block: u32, slot: u32, stamp: u32, now: u32) {
        let block = &mut self.blocks[block as usize - 1];
        let slot = slot as usize;
        if block.stamps.len() <= slot {
            block.stamps.resize(slot + 1, 0);
        }
        block.stamps[slot] = stamp;
        block.seen = now;
    }

    /// Adds a block. Returns its number, and the hash of the block that made room for it, the one sent longest ago.
    /// `None` if all are in use.
    pub(super) fn add(&mut self, hash: u64, now: u32) -> Option<(u32, Option<u64>)> {
        let mut makes_room = None;
        let at = if let Some(unused) = self.unused.pop() {
            unused as usize - 1
        } else if self.blocks.len() < MAX_BLOCKS {
            self.blocks.push(Block::default());
            self.blocks.len() - 1
        } else {
            let age = |at: &usize| now.wrapping_sub(self.blocks[*at].seen);
            let oldest =
                (0..MAX_BLOCKS).max_by_key(age).filter(|oldest| age(oldest) > UNUSED_FOR)?;
            makes_room = Some(self.blocks[oldest].hash);
            oldest
        };
        let block = &mut self.blocks[at];
        (block.hash, block.seen) = (hash, now);
        block.stamps.clear();
        Some((u32::try_from(at + 1).ok()?, makes_room))
    }

    /// Frees the block's number.
    pub(super) fn remove(&mut self, block: u32) {
        self.unused.push(block);
    }

    /// How many blocks are in use.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.blocks.len() - self.unused.len()
    }

    /// Takes a slot for a new endpoint.
    pub(super) fn slot(&mut self) -> u32 {
        self.free_slots.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    /// Frees the slot of an endpoint that is gone.
    pub(super) fn give_back(&mut self, slot: u32) {
        for block in &mut self.blocks {
            if let Some(stamp) = block.stamps.get_mut(slot as usize) {
                *stamp = 0;
            }
        }
        self.free_slots.push(slot);
    }
}
