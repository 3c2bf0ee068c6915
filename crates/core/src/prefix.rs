//! Which endpoint is likely to have which beginning of a prompt in its prefix cache.
//!
//! A prompt is a chain of block hashes, each over the block and all before it. The index remembers which endpoints
//! were sent which block, and takes a block for evicted once its endpoint was sent as many newer ones as fit into its
//! cache. It is a guess from this router's own requests, never asked for at the endpoints: being wrong costs the time
//! to compute what was hoped for, and shows in the forecast's error.
//!
//! Memory is fixed: [`ENTRIES`] entries of 128 bytes, 4 MiB a route, made with the first block. The block that was
//! seen longest ago makes room.

use foldhash::HashMap;
use smallvec::SmallVec;

/// Blocks that are remembered.
pub const ENTRIES: usize = 1 << 15;
/// Endpoints that are remembered to hold one block.
const HOLDERS: usize = 14;
/// Places at which a block may stand.
const PROBES: usize = 8;
/// Blocks that fit into a cache, before its endpoint has said so.
const DEFAULT_CAPACITY: u32 = 1500;

/// The endpoints that hold the beginning of a prompt, by tag, and how many of its blocks.
pub type Held = SmallVec<[(u32, u32); 16]>;

#[derive(Clone, Copy, Debug, Default)]
struct Holder {
    endpoint: u32,
    /// How many blocks its endpoint had been sent when it was sent this one, from 1; 0 is no holder.
    stamp: u32,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u64,
    seen: u32,
    holders: [Holder; HOLDERS],
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    sent: u32,
    capacity: u32,
}

impl Default for Clock {
    fn default() -> Self {
        Self { sent: 1, capacity: DEFAULT_CAPACITY }
    }
}

impl Clock {
    fn keeps(self, stamp: u32) -> bool {
        stamp > 0 && self.sent.saturating_sub(stamp) < self.capacity
    }
}

/// The index of one route.
#[derive(Debug, Default)]
pub struct PrefixIndex {
    entries: Vec<Entry>,
    clocks: HashMap<u32, Clock>,
    /// Counts insertions: the age of entries.
    now: u32,
}

impl PrefixIndex {
    /// Who holds how much of the prompt. An endpoint that holds a block is taken to hold all before it: engines evict
    /// the end of a prefix first.
    #[must_use]
    pub fn held(&self, blocks: &[u64]) -> Held {
        let mut held = Held::new();
        for (depth, hash) in (1..).zip(blocks) {
            let Some(entry) = self.find(*hash) else { break };
            let before = held.len();
            let mut found = 0;
            for holder in entry.holders.iter().filter(|holder| holder.stamp > 0) {
                let Some(clock) = self.clocks.get(&holder.endpoint) else { continue };
                if !clock.keeps(holder.stamp) {
                    continue;
                }
                found += 1;
                match held[..before].iter_mut().find(|(endpoint, _)| *endpoint == holder.endpoint) {
                    Some((_, deepest)) => *deepest = depth,
                    None => held.push((holder.endpoint, depth)),
                }
            }
            if found == 0 {
                break;
            }
        }
        held
    }

    /// The endpoint was sent the prompt.
    pub fn insert(&mut self, endpoint: u32, blocks: &[u64]) {
        if blocks.is_empty() {
            return;
        }
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); ENTRIES];
        }
        self.now = self.now.wrapping_add(1);
        let mut clock = self.clocks.get(&endpoint).copied().unwrap_or_default();
        for hash in blocks {
            let at = self.place(*hash);
            let entry = &mut self.entries[at];
            entry.seen = self.now;
            let known = entry.holders.iter().position(|holder| holder.endpoint == endpoint);
            let new = known.is_none_or(|at| !clock.keeps(entry.holders[at].stamp));
            clock.sent = clock.sent.saturating_add(u32::from(new));
            let slot = known.unwrap_or_else(|| least(&entry.holders, |holder| holder.stamp));
            entry.holders[slot] = Holder { endpoint, stamp: clock.sent };
        }
        self.clocks.insert(endpoint, clock);
    }

    /// The endpoint wrote so many blocks of answers: they push others out of its cache.
    pub fn wrote(&mut self, endpoint: u32, blocks: u32) {
        if let Some(clock) = self.clocks.get_mut(&endpoint) {
            clock.sent = clock.sent.saturating_add(blocks);
        }
    }

    /// The endpoint said for how many blocks it has room.
    pub fn set_capacity(&mut self, endpoint: u32, blocks: u32) {
        self.clocks.entry(endpoint).or_default().capacity = blocks.max(1);
    }

    /// Forgets endpoints that `stays` does not know.
    pub fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        self.clocks.retain(|endpoint, _| stays(*endpoint));
    }

    fn find(&self, hash: u64) -> Option<&Entry> {
        if self.entries.is_empty() {
            return None;
        }
        places(hash).map(|at| &self.entries[at]).find(|entry| entry.hash == hash && entry.seen != 0)
    }

    /// Where the block stands, or may stand: on an empty place, or on that of the block that was not seen for longest.
    fn place(&mut self, hash: u64) -> usize {
        let at = |entry: &Entry| entry.hash == hash && entry.seen != 0;
        if let Some(known) = places(hash).find(|place| at(&self.entries[*place])) {
            return known;
        }
        let age = |place: &usize| match self.entries[*place].seen {
            0 => u32::MAX,
            seen => self.now.wrapping_sub(seen),
        };
        let place = places(hash).max_by_key(age).unwrap_or_default();
        self.entries[place] = Entry { hash, ..Entry::default() };
        place
    }
}

fn places(hash: u64) -> impl Iterator<Item = usize> {
    let mask = ENTRIES as u64 - 1;
    (0..PROBES as u64).map(move |probe| ((hash >> 20).wrapping_add(probe) & mask) as usize)
}

/// The index of the least element.
fn least<T>(items: &[T], key: impl Fn(&T) -> u32) -> usize {
    (0..items.len()).min_by_key(|at| key(&items[*at])).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Hashes as they come: spread over all bits.
    fn blocks(of: u64, count: u64) -> Vec<u64> {
        (1..=count).map(|i| (of << 32 | i).wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect()
    }

    fn depth(index: &PrefixIndex, prompt: &[u64], endpoint: u32) -> u32 {
        let held = index.held(prompt);
        held.iter().find(|(holder, _)| *holder == endpoint).map_or(0, |(_, depth)| *depth)
    }

    #[test]
    fn who_was_sent_a_prompt_holds_the_beginning_of_the_next() {
        let mut index = PrefixIndex::default();
        assert!(index.held(&blocks(1, 4)).is_empty());
        let (short, long) = (blocks(1, 4), blocks(1, 9));
        index.insert(7, &short);
        index.insert(8, &long);
        assert_eq!((depth(&index, &long, 7), depth(&index, &long, 8)), (4, 9));
        assert_eq!(depth(&index, &short, 8), 4);
        assert!(index.held(&blocks(2, 4)).is_empty());
    }

    #[test]
    fn newer_blocks_push_older_ones_out() {
        let mut index = PrefixIndex::default();
        index.insert(7, &blocks(1, 4));
        index.set_capacity(7, 10);
        index.insert(7, &blocks(2, 5));
        assert_eq!(depth(&index, &blocks(1, 4), 7), 4);
        index.insert(7, &blocks(1, 4)); // Used again: fresh.
        index.insert(7, &blocks(3, 9));
        assert_eq!((depth(&index, &blocks(1, 4), 7), depth(&index, &blocks(2, 5), 7)), (4, 0));
        index.wrote(7, 3);
        assert_eq!(depth(&index, &blocks(1, 4), 7), 0);
    }

    #[test]
    fn a_block_that_many_hold_is_known_of_the_latest() {
        let mut index = PrefixIndex::default();
        (0..20).for_each(|endpoint| index.insert(endpoint, &blocks(1, 1)));
        assert_eq!(index.held(&blocks(1, 1)).len(), HOLDERS);
    }

    #[test]
    fn what_is_gone_is_forgotten() {
        let mut index = PrefixIndex::default();
        index.insert(7, &blocks(1, 2));
        index.retain(|endpoint| endpoint != 7);
        assert!(index.held(&blocks(1, 2)).is_empty());
    }

    #[test]
    fn an_entry_is_two_cache_lines() {
        assert_eq!(size_of::<Entry>(), 128);
    }

    proptest! {
        #[test]
        fn nobody_holds_more_than_it_was_sent(
            sent in prop::collection::vec((0_u32..5, 0_u64..6, 1_u64..12), 1..60),
            asked in (0_u64..6, 1_u64..12),
        ) {
            let mut index = PrefixIndex::default();
            let mut most = HashMap::default();
            for (endpoint, of, count) in sent {
                index.insert(endpoint, &blocks(of, count));
                let most = most.entry((endpoint, of)).or_insert(0);
                *most = count.max(*most);
            }
            for (endpoint, depth) in index.held(&blocks(asked.0, asked.1)) {
                let most = most.get(&(endpoint, asked.0)).copied().unwrap_or_default();
                prop_assert!(u64::from(depth) <= most.min(asked.1));
            }
        }
    }
}
