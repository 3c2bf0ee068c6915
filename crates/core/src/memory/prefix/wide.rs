//! Blocks that more endpoints hold than an entry can remember: of each, when every endpoint was sent it.

/// Blocks that are remembered so.
pub(super) const MOST: usize = 512;
/// A block makes room for another one only once it was not sent for so many insertions. Else more blocks than there is
/// room for would push each other out all the time.
const UNUSED_FOR: u32 = 1000;

#[derive(Debug, Default)]
struct Block {
    hash: u64,
    seen: u32,
    /// By the endpoint's slot; 0: it was never sent it.
    stamps: Vec<u32>,
}

/// The blocks, by numbers from 1, and who has which slot.
#[derive(Debug, Default)]
pub(super) struct Wide {
    blocks: Vec<Block>,
    unused: Vec<u32>,
    slots: u32,
    free_slots: Vec<u32>,
}

impl Wide {
    /// The stamp of the endpoint with that slot; 0 if it has none.
    pub(super) fn stamp(&self, block: u32, slot: u32) -> u32 {
        let block = &self.blocks[block as usize - 1];
        block.stamps.get(slot as usize).copied().unwrap_or_default()
    }

    /// The endpoint with that slot was sent the block.
    pub(super) fn set(&mut self, block: u32, slot: u32, stamp: u32, now: u32) {
        let block = &mut self.blocks[block as usize - 1];
        let slot = slot as usize;
        if block.stamps.len() <= slot {
            block.stamps.resize(slot + 1, 0);
        }
        block.stamps[slot] = stamp;
        block.seen = now;
    }

    /// One more block: its number, and the hash of the one that makes room for it, if one has to: that which was sent
    /// longest ago. `None`: all are in use.
    pub(super) fn add(&mut self, hash: u64, now: u32) -> Option<(u32, Option<u64>)> {
        let mut makes_room = None;
        let at = if let Some(unused) = self.unused.pop() {
            unused as usize - 1
        } else if self.blocks.len() < MOST {
            self.blocks.push(Block::default());
            self.blocks.len() - 1
        } else {
            let age = |at: &usize| now.wrapping_sub(self.blocks[*at].seen);
            let oldest = (0..MOST).max_by_key(age).filter(|oldest| age(oldest) > UNUSED_FOR)?;
            makes_room = Some(self.blocks[oldest].hash);
            oldest
        };
        let block = &mut self.blocks[at];
        (block.hash, block.seen) = (hash, now);
        block.stamps.clear();
        Some((u32::try_from(at + 1).ok()?, makes_room))
    }

    /// Nobody asks for the block any more.
    pub(super) fn remove(&mut self, block: u32) {
        self.unused.push(block);
    }

    /// How many blocks are remembered.
    #[cfg(test)]
    pub(super) fn used(&self) -> usize {
        self.blocks.len() - self.unused.len()
    }

    /// A slot for one more endpoint.
    pub(super) fn slot(&mut self) -> u32 {
        self.free_slots.pop().unwrap_or_else(|| {
            self.slots += 1;
            self.slots - 1
        })
    }

    /// The endpoint is gone.
    pub(super) fn give_back(&mut self, slot: u32) {
        for block in &mut self.blocks {
            if let Some(stamp) = block.stamps.get_mut(slot as usize) {
                *stamp = 0;
            }
        }
        self.free_slots.push(slot);
    }
}
