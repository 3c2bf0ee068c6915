//! Which endpoints are likely to have the beginning of a prompt in their prefix caches.
//!
//! A prompt is a chain of block hashes, each over the block and all before it. The index remembers which endpoints were
//! sent which block. A block counts as evicted once its endpoint was sent as many newer ones as fit into its cache. The
//! index knows only this router's own requests: a wrong guess costs the time to compute the prompt, and shows in the
//! forecast's error.
//!
//! An entry remembers [`HOLDERS`] endpoints that hold the block. If all of those still hold it when another endpoint is
//! sent it, as happens to a shared system prompt, [`wide`] remembers all its holders.
//!
//! Memory is fixed: [`ENTRIES`] entries of 128 bytes, 4 MiB a route, allocated with the first block, and 2 KiB an
//! endpoint in [`wide`]. The block that was seen longest ago makes room.

mod wide;

use foldhash::HashMap;
use smallvec::SmallVec;

use self::wide::Wide;
use crate::endpoint::tag::EndpointTag;

/// The number of entries: at some 256 tokens a block, 8 million tokens. Half of them forgets prompts that large caches
/// still hold; double costs 4 MiB more for each route.
pub const ENTRIES: usize = 1 << 15;
/// The endpoints that an entry remembers: as many as make it two cache lines.
const HOLDERS: usize = 14;
/// The entries in which a block may be. Half of them evicts blocks while others are older; double reads twice the cache
/// lines for a block that is not known. Not measured.
const PROBES: usize = 8;
/// The capacity of a cache, in blocks, before it was scraped: 380,000 tokens, those of an 8B model on an 80 GB GPU.
const DEFAULT_CAPACITY: u32 = 1500;

/// How much of a prompt endpoints hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PrefixHits {
    /// The number of the prompt's first blocks that each `asked` endpoint holds, in the order of asking.
    pub depths: SmallVec<[u32; 32]>,
    /// The same for some endpoints that hold the most of it, by their tags.
    pub some: SmallVec<[(EndpointTag, u32); 16]>,
}

impl PrefixHits {
    /// The most blocks that any endpoint holds.
    #[must_use]
    pub fn most(&self) -> u32 {
        self.some.iter().map(|(_, depth)| *depth).max().unwrap_or_default()
    }
}

/// An endpoint that was sent a block.
#[derive(Clone, Copy, Debug, Default)]
struct Holder {
    endpoint: EndpointTag,
    /// How many blocks the endpoint had been sent when it was sent this one, from 1; 0 marks a free place.
    stamp: u32,
}

/// One block and those who hold it.
#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    hash: u64,
    /// The insertion that last touched the block; 0 marks a free entry.
    seen: u32,
    /// The number of the block in [`Wide`], from 1; 0 if it is not there.
    wide: u32,
    holders: [Holder; HOLDERS],
}

/// The clock of one endpoint's cache: it advances with each block that the endpoint is sent.
#[derive(Clone, Copy, Debug)]
struct Clock {
    /// Blocks that the endpoint was sent so far.
    sent: u32,
    /// Blocks that fit into its cache.
    capacity: u32,
    /// Its first stamp. Earlier ones are from before the endpoint was forgotten, and count as evicted.
    born: u32,
    /// Its place among the holders in [`Wide`].
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
    clocks: HashMap<EndpointTag, Clock>,
    wide: Wide,
    /// The highest stamp of all forgotten endpoints.
    born: u32,
    /// The number of insertions, from 1, by which entries age.
    now: u32,
}

type AllKnown = SmallVec<[Known; 64]>;

/// How much of a chain of blocks one endpoint holds, while the chain is walked.
struct Known {
    endpoint: EndpointTag,
    depth: u32,
    clock: Clock,
}

impl PrefixIndex {
    /// How much of the prompt the endpoints with the `asked` tags hold, and some endpoints that hold the most. An
    /// endpoint that holds a block counts as holding all before it, because engines evict the end of a prefix first.
    #[must_use]
    pub fn held(&self, blocks: &[u64], asked: impl IntoIterator<Item = EndpointTag>) -> PrefixHits {
        let mut known = AllKnown::new();
        let mut wide: SmallVec<[(u32, u32); wide::MAX_BLOCKS]> = SmallVec::new();
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

    /// Raises the depth of all endpoints that keep this block. Returns whether there is one.
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

    /// The depth of the deepest of the `wide` blocks that the endpoint keeps.
    fn held_widely(&self, tag: EndpointTag, wide: &[(u32, u32)]) -> u32 {
        if wide.is_empty() {
            return 0;
        }
        let Some(clock) = self.clocks.get(&tag) else { return 0 };
        let keeps = |(_, block): &(u32, u32)| clock.keeps(self.wide.stamp(*block, clock.slot));
        let kept = match wide.last().is_some_and(keeps) {
            true => wide.len(),
            // A binary search, because there may be hundreds of blocks, and as many endpoints that are asked for.
            false => wide.partition_point(keeps),
        };
        kept.checked_sub(1).map_or(0, |last| wide[last].0)
    }

    /// Notes that the endpoint was sent a prompt of these blocks.
    pub fn insert(&mut self, endpoint: EndpointTag, blocks: &[u64]) {
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

    /// Notes that the endpoint was sent the block of the entry `at`.
    fn put(&mut self, at: usize, endpoint: EndpointTag, clock: &mut Clock) {
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

    /// Begins to remember all holders of the block, if there is room for it in [`Wide`].
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

    /// Notes that the endpoint generated this many blocks of answers, which push others out of its cache.
    pub fn wrote(&mut self, endpoint: EndpointTag, blocks: u32) {
        if let Some(clock) = self.clocks.get_mut(&endpoint) {
            clock.sent = clock.sent.saturating_add(blocks);
        }
    }

    /// Sets how many blocks fit into the endpoint's cache.
    pub fn set_capacity(&mut self, endpoint: EndpointTag, blocks: u32) {
        self.clock(endpoint).capacity = blocks.max(1);
    }

    /// Forgets all endpoints for which `stays` is false.
    pub fn retain(&mut self, stays: impl Fn(EndpointTag) -> bool) {
        for (_, clock) in self.clocks.extract_if(|endpoint, _| !stays(*endpoint)) {
            self.wide.give_back(clock.slot);
            self.born = self.born.max(clock.sent);
        }
    }

    fn clock(&mut self, endpoint: EndpointTag) -> &mut Clock {
        let (wide, born) = (&mut self.wide, self.born.saturating_add(1));
        let new = || Clock { sent: born, capacity: DEFAULT_CAPACITY, born, slot: wide.slot() };
        self.clocks.entry(endpoint).or_insert_with(new)
    }

    fn find(&self, hash: u64) -> Option<&Entry> {
        self.place_of(hash).map(|at| &self.entries[at])
    }

    /// The entry of the block, if there is one.
    fn place_of(&self, hash: u64) -> Option<usize> {
        if self.entries.is_empty() {
            return None;
        }
        places(hash).find(|at| {
            let entry = &self.entries[*at];
            entry.hash == hash && entry.seen != 0
        })
    }

    /// The entry of the block. If there is none, a free one or that of the block not seen for longest is given to it.
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
    /// The clock of an endpoint that was forgotten: it keeps nothing.
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
