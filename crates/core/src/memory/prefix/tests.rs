use proptest::prelude::*;

use super::*;

/// Hashes as they come: spread over all bits.
fn blocks(of: u64, count: u64) -> Vec<u64> {
    let mixed = |number: u64| (number ^ number >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (1..=count).map(|i| mixed(mixed(of << 32 | i))).collect()
}

fn tag(endpoint: u32) -> EndpointTag {
    EndpointTag::from(endpoint)
}

fn depth(index: &PrefixIndex, prompt: &[u64], endpoint: u32) -> u32 {
    index.held(prompt, [tag(endpoint)]).depths[0]
}

#[test]
fn who_was_sent_a_prompt_holds_the_beginning_of_the_next() {
    let mut index = PrefixIndex::default();
    assert_eq!(index.held(&blocks(1, 4), []).most(), 0);
    let (short, long) = (blocks(1, 4), blocks(1, 9));
    index.insert(tag(7), &short);
    index.insert(tag(8), &long);
    assert_eq!((depth(&index, &long, 7), depth(&index, &long, 8)), (4, 9));
    assert_eq!(depth(&index, &short, 8), 4);
    assert_eq!(index.held(&blocks(2, 4), []).most(), 0);
}

#[test]
fn newer_blocks_push_older_ones_out() {
    let mut index = PrefixIndex::default();
    index.insert(tag(7), &blocks(1, 4));
    index.set_capacity(tag(7), 10);
    index.insert(tag(7), &blocks(2, 5));
    assert_eq!(depth(&index, &blocks(1, 4), 7), 4);
    index.insert(tag(7), &blocks(1, 4)); // Used again: fresh.
    index.insert(tag(7), &blocks(3, 9));
    assert_eq!((depth(&index, &blocks(1, 4), 7), depth(&index, &blocks(2, 5), 7)), (4, 0));
    index.wrote(tag(7), 3);
    assert_eq!(depth(&index, &blocks(1, 4), 7), 0);
}

#[test]
fn a_block_that_everybody_holds_is_known_of_all() {
    let mut index = PrefixIndex::default();
    let shared = blocks(1, 30);
    (0..200).for_each(|endpoint| index.insert(tag(endpoint), &shared));
    let held = index.held(&shared, (0..201).map(tag));
    assert!(held.depths[..200].iter().all(|depth| *depth == 30), "{held:?}");
    assert_eq!(held.depths[200], 0);
    assert_eq!(held.some.len(), HOLDERS);
    let longer: Vec<u64> = shared.iter().copied().chain(blocks(2, 3)).collect();
    index.insert(tag(77), &longer);
    assert_eq!((depth(&index, &longer, 77), depth(&index, &longer, 78)), (33, 30));
}

#[test]
fn what_everybody_holds_is_pushed_out_too_and_forgotten_with_its_endpoint() {
    let mut index = PrefixIndex::default();
    let shared = blocks(1, 4);
    (0..40).for_each(|endpoint| index.insert(tag(endpoint), &shared));
    index.set_capacity(tag(5), 10);
    index.insert(tag(5), &blocks(2, 10));
    assert_eq!((depth(&index, &shared, 5), depth(&index, &shared, 6)), (0, 4));
    index.retain(|endpoint| endpoint != tag(6));
    assert_eq!((depth(&index, &shared, 6), depth(&index, &shared, 7)), (0, 4));
    index.insert(tag(99), &blocks(3, 1));
    assert_eq!(depth(&index, &shared, 99), 0, "it has the place of the one that is gone");
    index.insert(tag(5), &shared);
    assert_eq!(depth(&index, &shared, 5), 4);
}

#[test]
fn of_too_many_widely_held_blocks_those_in_use_are_known_of_all() {
    let mut index = PrefixIndex::default();
    (0..20).for_each(|endpoint| index.set_capacity(tag(endpoint), 10_000));
    let (first, second) = (blocks(1, 500), blocks(2, 500));
    let everybody = |index: &mut PrefixIndex, prompt: &[u64]| {
        (0..20).for_each(|endpoint| index.insert(tag(endpoint), prompt));
    };
    let whole = |index: &PrefixIndex, prompt: &[u64]| {
        (0..20).filter(|endpoint| depth(index, prompt, *endpoint) == 500).count()
    };
    everybody(&mut index, &first);
    everybody(&mut index, &second);
    assert_eq!((whole(&index, &first), whole(&index, &second)), (20, HOLDERS));
    (0..1100).for_each(|i| index.insert(tag(50), &blocks(3 + i, 1)));
    everybody(&mut index, &second);
    assert_eq!((whole(&index, &first), whole(&index, &second)), (HOLDERS, 20));
}

#[test]
fn a_widely_held_block_that_makes_room_is_nobodys() {
    let mut index = PrefixIndex::default();
    let shared = blocks(1, 3);
    (0..20).for_each(|endpoint| index.insert(tag(endpoint), &shared));
    (0..ENTRIES as u64 * 3).for_each(|of| index.insert(tag(30), &blocks(10 + of, 1)));
    assert_eq!(index.held(&shared, (0..20).map(tag)).most(), 0);
    let others = blocks(2, 3);
    (0..15).for_each(|endpoint| index.insert(tag(endpoint), &others));
    assert_eq!((depth(&index, &others, 14), depth(&index, &others, 19)), (3, 0));
    assert_eq!(index.wide.used(), 3, "the numbers of the first are given back");
}

#[test]
fn who_comes_back_comes_with_an_empty_cache() {
    let mut index = PrefixIndex::default();
    index.insert(tag(6), &blocks(1, 4));
    index.retain(|_| false);
    index.insert(tag(6), &blocks(9, 1));
    assert_eq!((depth(&index, &blocks(1, 4), 6), depth(&index, &blocks(9, 1), 6)), (0, 1));
}

#[test]
fn who_holds_the_shared_beginning_alone_is_known_to_hold_that() {
    let mut index = PrefixIndex::default();
    (0..200).for_each(|endpoint| index.insert(tag(endpoint), &blocks(1, 100)));
    (0..20).for_each(|endpoint| index.insert(tag(endpoint), &blocks(1, 200)));
    assert_eq!(
        (depth(&index, &blocks(1, 200), 7), depth(&index, &blocks(1, 200), 150)),
        (200, 100)
    );
}

#[test]
fn what_is_gone_is_forgotten() {
    let mut index = PrefixIndex::default();
    index.insert(tag(7), &blocks(1, 2));
    index.retain(|endpoint| endpoint != tag(7));
    assert_eq!(index.held(&blocks(1, 2), [tag(7)]).most(), 0);
}

#[test]
fn an_entry_is_two_cache_lines() {
    assert_eq!(size_of::<Entry>(), 128);
}

proptest! {
    #[test]
    fn nobody_holds_more_than_it_was_sent(
        sent in prop::collection::vec((0_u32..40, 0_u64..3, 1_u64..12), 1..150),
        asked in (0_u64..3, 1_u64..12),
    ) {
        let mut index = PrefixIndex::default();
        let mut most = HashMap::default();
        for (endpoint, of, count) in sent {
            index.insert(tag(endpoint), &blocks(of, count));
            let most = most.entry((tag(endpoint), of)).or_insert(0);
            *most = count.max(*most);
        }
        let held = index.held(&blocks(asked.0, asked.1), (0..40).map(tag));
        for (endpoint, depth) in (0..).map(tag).zip(held.depths).chain(held.some) {
            let most = most.get(&(endpoint, asked.0)).copied().unwrap_or_default();
            prop_assert!(u64::from(depth) <= most.min(asked.1));
        }
    }
}
