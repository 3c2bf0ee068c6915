//! Which endpoint is likely to have which beginning of a prompt in its prefix cache.
//!
//! A prompt is a chain of block hashes, each over the block and all before it. The index remembers which endpoints
//! were sent which block, and takes a block for evicted once its endpoint was sent as many newer ones as fit into its
//! cache. It is a guess from this router's own requests, never asked for at the endpoints: being wrong costs the time
//! to compute what was hoped for, and shows in the forecast's error.
//!
//! A block remembers [`HOLDERS`] endpoints that hold it. One that all of those still hold when yet another is sent it,
//! as a system prompt that everybody shares, remembers all of them, see [`wide`].
//!
//! Memory is fixed: [`ENTRIES`] entries of 128 bytes, 4 MiB a route, made with the first block, and 2 KiB an endpoint
//! for blocks that are held widely. The block that was seen longest ago makes room.

mod wide;

use foldhash::HashMap;
use smallvec::SmallVec;

use self::wide::Wide;

/// Blocks that are remembered.
pub const ENTRIES: usize = 1 << 15;
/// Endpoints that are remembered to hold one block.
const HOLDERS: usize = 14;
/// Places at which a block may stand.
const PROBES: usize = 8;
/// Blocks that fit into a cache, before its endpoint has said so.
const DEFAULT_CAPACITY: u32 = 1500;

/// Who holds how much of a prompt.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixHits {
    /// How many of its first blocks those hold that were asked for, in the order in which they were.
    pub depths: SmallVec<[u32; 32]>,
    /// The same of some that hold the most of it, whoever that is, by their tags.
    pub some: SmallVec<[(u32, u32); 16]>,
}

impl PrefixHits {
    /// The most that anybody holds.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.some.iter().map(|(_, depth)| *depth).max().unwrap_or_default()
    }
}

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
    /// Where all its holders are remembered, from 1; 0: nowhere else.
    wide: u32,
    holders: [Holder; HOLDERS],
}

#[derive(Clone, Copy, Debug)]
struct Clock {
    sent: u32,
    capacity: u32,
    /// What was stamped before is of an endpoint of this tag that is forgotten, and its cache with it.
    born: u32,
    /// Its place among the holders of blocks that are held widely.
    slot: u32,
}

impl Clock {
    fn keeps(self, stamp: u32) -> bool {
        stamp >= self.born && self.sent.saturating_sub(stamp) < self.capacity
    }
}

/// The index of one route.
#[derive(Debug, Default)]
pub struct PrefixIndex {
    entries: Vec<Entry>,
    clocks: HashMap<u32, Clock>,
    wide: Wide,
    /// The last stamp of endpoints that are forgotten.
    born: u32,
    /// Counts insertions, from 1: the age of entries.
    now: u32,
}

type AllKnown = SmallVec<[Known; 64]>;

/// What is known of one holder while a chain is walked along.
struct Known {
    endpoint: u32,
    depth: u32,
    clock: Clock,
}

impl PrefixIndex {
    /// Who holds how much of the prompt: those of these tags, and some that hold the most. An endpoint that holds a
    /// block is taken to hold all before it: engines evict the end of a prefix first.
    #[must_use]
    pub fn held(&self, blocks: &[u64], asked: impl IntoIterator<Item = u32>) -> PrefixHits {
        let mut known = AllKnown::new();
        let mut wide: SmallVec<[(u32, u32); wide::MOST]> = SmallVec::new();
        for (depth, hash) in (1..).zip(blocks) {
            let Some(entry) = self.find(*hash) else { break };
            let narrow = self.held_narrowly(entry, depth, &mut known);
            if entry.wide > 0 {
                wide.push((depth, entry.wide));
            } else if !narrow {
                break;
            }
        }
        let depths = asked.into_iter().map(|tag| {
            let narrow = known.iter().find(|known| known.endpoint == tag).map_or(0, |k| k.depth);
            narrow.max(self.held_widely(tag, &wide))
        });
        let depths = depths.collect();
        let some = known.iter().filter(|known| known.depth > 0);
        PrefixHits { depths, some: some.map(|known| (known.endpoint, known.depth)).collect() }
    }

    /// Notes who keeps this block; whether anybody does.
    fn held_narrowly(&self, entry: &Entry, depth: u32, known: &mut AllKnown) -> bool {
        let mut any = false;
        for (place, holder) in entry.holders.iter().enumerate() {
            if holder.stamp == 0 {
                continue;
            }
            // One after the other, blocks have mostly the same holders at the same places.
            let at = match known.get(place) {
                Some(known) if known.endpoint == holder.endpoint => Some(place),
                _ => known.iter().position(|known| known.endpoint == holder.endpoint),
            };
            let at = at.unwrap_or_else(|| {
                let clock = self.clocks.get(&holder.endpoint).copied().unwrap_or(Clock::GONE);
                known.push(Known { endpoint: holder.endpoint, depth: 0, clock });
                known.len() - 1
            });
            if known[at].clock.keeps(holder.stamp) {
                known[at].depth = depth;
                any = true;
            }
        }
        any
    }

    /// The deepest of these blocks that the endpoint keeps, of those that are held widely.
    fn held_widely(&self, tag: u32, wide: &[(u32, u32)]) -> u32 {
        if wide.is_empty() {
            return 0;
        }
        let Some(clock) = self.clocks.get(&tag) else { return 0 };
        let keeps = |(_, block): &(u32, u32)| clock.keeps(self.wide.stamp(*block, clock.slot));
        let kept = match wide.last().is_some_and(keeps) {
            true => wide.len(),
            // There may be hundreds, and as many endpoints that are asked for.
            false => wide.partition_point(keeps),
        };
        kept.checked_sub(1).map_or(0, |last| wide[last].0)
    }

    /// The endpoint was sent the prompt.
    pub fn insert(&mut self, endpoint: u32, blocks: &[u64]) {
        if blocks.is_empty() {
            return;
        }
        if self.entries.is_empty() {
            self.entries = vec![Entry::default(); ENTRIES];
        }
        self.now = self.now.wrapping_add(1).max(1);
        let mut clock = *self.clock(endpoint);
        for hash in blocks {
            let at = self.place(*hash);
            self.entries[at].seen = self.now;
            self.put(at, endpoint, &mut clock);
        }
        *self.clock(endpoint) = clock;
    }

    /// The endpoint was sent the block that stands there.
    fn put(&mut self, at: usize, endpoint: u32, clock: &mut Clock) {
        let holders = &self.entries[at].holders;
        let known = holders.iter().position(|holder| holder.endpoint == endpoint);
        let mut place = known;
        if place.is_none() && self.entries[at].wide == 0 {
            let never = holders.iter().position(|holder| holder.stamp == 0);
            place = never.or_else(|| holders.iter().position(|holder| !self.keeps(*holder)));
            if place.is_none() {
                self.widen(at);
            }
        }
        let entry = &mut self.entries[at];
        let stamp = match (entry.wide, known) {
            (0, None) => 0,
            (0, Some(known)) => entry.holders[known].stamp,
            (wide, _) => self.wide.stamp(wide, clock.slot),
        };
        clock.sent = clock.sent.saturating_add(u32::from(!clock.keeps(stamp)));
        let place = place.unwrap_or_else(|| least(&entry.holders, |holder| holder.stamp));
        entry.holders[place] = Holder { endpoint, stamp: clock.sent };
        if entry.wide > 0 {
            self.wide.set(entry.wide, clock.slot, clock.sent, self.now);
        }
    }

    fn keeps(&self, holder: Holder) -> bool {
        self.clocks.get(&holder.endpoint).is_some_and(|clock| clock.keeps(holder.stamp))
    }

    /// From now on all holders of the block are remembered, if there is room for it.
    fn widen(&mut self, at: usize) {
        let Entry { hash, holders, .. } = self.entries[at];
        let Some((wide, makes_room)) = self.wide.add(hash, self.now) else { return };
        if let Some(place) = makes_room.and_then(|hash| self.place_of(hash)) {
            self.entries[place].wide = 0;
        }
        self.entries[at].wide = wide;
        for holder in holders {
            if let Some(clock) = self.clocks.get(&holder.endpoint) {
                self.wide.set(wide, clock.slot, holder.stamp, self.now);
            }
        }
    }

    /// The endpoint wrote so many blocks of answers: they push others out of its cache.
    pub fn wrote(&mut self, endpoint: u32, blocks: u32) {
        if let Some(clock) = self.clocks.get_mut(&endpoint) {
            clock.sent = clock.sent.saturating_add(blocks);
        }
    }

    /// The endpoint said for how many blocks it has room.
    pub fn set_capacity(&mut self, endpoint: u32, blocks: u32) {
        self.clock(endpoint).capacity = blocks.max(1);
    }

    /// Forgets endpoints that `stays` does not know.
    pub fn retain(&mut self, stays: impl Fn(u32) -> bool) {
        for (_, clock) in self.clocks.extract_if(|endpoint, _| !stays(*endpoint)) {
            self.wide.give_back(clock.slot);
            self.born = self.born.max(clock.sent);
        }
    }

    fn clock(&mut self, endpoint: u32) -> &mut Clock {
        let (wide, born) = (&mut self.wide, self.born.saturating_add(1));
        let new = || Clock { sent: born, capacity: DEFAULT_CAPACITY, born, slot: wide.slot() };
        self.clocks.entry(endpoint).or_insert_with(new)
    }

    fn find(&self, hash: u64) -> Option<&Entry> {
        self.place_of(hash).map(|at| &self.entries[at])
    }

    /// Where the block stands.
    fn place_of(&self, hash: u64) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        places(hash).find(|at| {
            let entry = &self.entries[*at];
            entry.hash == hash && entry.seen != 0
        })
    }

    /// Where the block stands, or may stand: on an empty place, or on that of the block that was not seen for longest.
    fn place(&mut self, hash: u64) -> usize {
        if let Some(known) = self.place_of(hash) {
            return known;
        }
        let age = |place: &usize| match self.entries[*place].seen {
            0 => u32::MAX,
            seen => self.now.wrapping_sub(seen),
        };
        let place = places(hash).max_by_key(age).unwrap_or_default();
        if self.entries[place].wide > 0 {
            self.wide.remove(self.entries[place].wide);
        }
        self.entries[place] = Entry { hash, ..Entry::default() };
        place
    }
}

impl Clock {
    /// Of one that is forgotten: it keeps nothing.
    const GONE: Self = Self { sent: 0, capacity: 0, born: u32::MAX, slot: 0 };
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
mod tests;
