//! Blocks that more endpoints hold than an entry can remember: of each, when every endpoint was sent it.

/// Blocks that are remembered so.
const MOST: usize = 512;

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
    /// longest ago.
    pub(super) fn add(&mut self, hash: u64) -> (u32, Option<u64>) {
        if self.unused.is_empty() && self.blocks.len() < MOST {
            self.blocks.push(Block { hash, ..Block::default() });
            return (number(self.blocks.len()), None);
        }
        let (at, makes_room) = match self.unused.pop() {
            Some(unused) => (unused as usize - 1, None),
            None => {
                let oldest = (0..MOST).min_by_key(|at| self.blocks[*at].seen).unwrap_or_default();
                (oldest, Some(self.blocks[oldest].hash))
            }
        };
        self.blocks[at] = Block { hash, ..Block::default() };
        (number(at + 1), makes_room)
    }

    /// Nobody asks for the block any more.
    pub(super) fn remove(&mut self, block: u32) {
        self.unused.push(block);
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

fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}
