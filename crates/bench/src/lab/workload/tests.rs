//! The workloads have the figures they are named for.

use std::collections::HashSet;

use super::*;
use crate::lab::arrival::Content;
use crate::lab::arrival::Piece;
use crate::lab::workload::draft::NAMES;
use crate::stats::Sample;

fn percentile(all: &[Arrival], percent: f64, tokens: fn(&Arrival) -> u32) -> f64 {
    Sample::new(all.iter().map(|arrival| f64::from(tokens(arrival))).collect())
        .percentile(percent)
        .unwrap()
}

fn near(all: &[Arrival], tokens: fn(&Arrival) -> u32, p50: f64, p99: f64) {
    for (percent, expected) in [(50.0, p50), (99.0, p99)] {
        let value = percentile(all, percent, tokens);
        assert!((value / expected - 1.0).abs() < 0.1, "p{percent}: {value}, expected {expected}");
    }
}

/// Share of all prompt tokens that earlier prompts began with: what a cache without bounds would find.
fn ideal_hits(all: &[Arrival]) -> f64 {
    let (mut seen, mut hits, mut total) = (HashSet::new(), 0u64, 0u64);
    for arrival in all {
        let mut before = 0;
        let mut cached = true;
        for piece in arrival.prompt.iter() {
            let content = match piece.content {
                Content::Words(words) => words,
                Content::Answer => 1,
            };
            before = mix(before, mix(content, u64::from(piece.tokens)));
            cached &= !seen.insert(before);
            hits += u64::from(if cached { piece.tokens } else { 0 });
        }
        total += u64::from(arrival.prompt_tokens());
    }
    hits as f64 / total as f64
}

#[test]
fn one_seed_gives_one_workload() {
    for name in NAMES {
        let workload = Workload::named(name).unwrap();
        let first = workload.generate(60.0, 5.0, 7);
        assert_eq!(first, workload.generate(60.0, 5.0, 7), "{name}");
        assert_ne!(first, workload.generate(60.0, 5.0, 8), "{name}");
        assert!(first.is_sorted_by_key(|arrival| arrival.at), "{name}");
        assert!(first.iter().all(|a| a.prompt_tokens() > 0 && a.output_tokens > 0), "{name}");
    }
}

#[test]
fn the_rate_is_what_was_asked() {
    for name in NAMES {
        let count = Workload::named(name).unwrap().generate(1_200.0, 10.0, 1).len();
        // Conversations come in clusters, and seconds of code differ much.
        let off = (count as f64 / 12_000.0 - 1.0).abs();
        assert!(off < 0.15, "{name}: {count}");
    }
}

#[test]
fn lengths_are_those_of_the_traces() {
    let chat = Workload::chat().generate(1_000.0, 20.0, 1);
    near(&chat, Arrival::prompt_tokens, 1_020.0, 4_142.0);
    near(&chat, |arrival| arrival.output_tokens, 129.0, 601.0);
    let code = Workload::code().generate(1_000.0, 20.0, 1);
    near(&code, Arrival::prompt_tokens, 1_469.0, 7_436.0);
    near(&code, |arrival| arrival.output_tokens, 13.0, 252.0);
    let documents = Workload::documents().generate(2_000.0, 5.0, 1);
    near(&documents, Arrival::prompt_tokens, 6_909.0, 85_401.0);
    near(&documents, |arrival| arrival.output_tokens, 350.0, 1_120.0);
}

#[test]
fn documents_share_prefixes_like_their_trace() {
    for (rate, seed) in [(1.0, 1), (4.0, 2)] {
        let hits = ideal_hits(&Workload::documents().generate(1_800.0, rate, seed));
        assert!((hits - 0.37).abs() < 0.02, "at {rate}/s: {hits}");
    }
}

#[test]
fn nothing_is_shared_by_single_requests() {
    assert_eq!(ideal_hits(&Workload::chat().generate(300.0, 5.0, 1)), 0.0);
    let agents = Workload::agents().generate(300.0, 5.0, 1);
    assert!(ideal_hits(&agents) > 0.9, "the prefix is most of these prompts");
}

#[test]
fn a_turn_repeats_all_that_was_said() {
    let all = Workload::conversations().generate(600.0, 5.0, 1);
    let on: Vec<&Arrival> = all.iter().filter(|arrival| arrival.goes_on).collect();
    assert!((on.len() as f64 / all.len() as f64 - 6.0 / 7.0).abs() < 0.05);
    for arrival in &on {
        let [.., answer, question] = &*arrival.prompt else { panic!("{arrival:?}") };
        assert_eq!(answer.content, Content::Answer);
        assert!((20..=400).contains(&question.tokens));
        let before = &arrival.prompt[..arrival.prompt.len() - 2];
        let earlier = all.iter().find(|a| *a.prompt == *before && a.at < arrival.at);
        // Turns before the start of the workload are nowhere.
        if arrival.at.as_secs() > 100 {
            assert_eq!(earlier.map(|a| a.output_tokens), Some(answer.tokens));
        }
    }
    let systems: HashSet<Piece> = all.iter().map(|arrival| arrival.prompt[0]).collect();
    assert_eq!(systems.len(), 4);
}

#[test]
fn conversations_are_in_full_swing_from_the_first_second() {
    let all = Workload::conversations().generate(600.0, 10.0, 1);
    let halves = all.partition_point(|arrival| arrival.at.as_secs() < 300);
    assert!((halves as f64 / all.len() as f64 - 0.5).abs() < 0.06, "{halves} of {}", all.len());
}

#[test]
fn a_mix_has_its_parts_by_their_shares() {
    let parts = vec![(3.0, Workload::tiny()), (1.0, Workload::documents())];
    let mix = Workload::mix("both", parts).unwrap();
    let all = mix.generate(600.0, 10.0, 1);
    let tiny = all.iter().filter(|arrival| arrival.prompt_tokens() <= 128).count();
    assert!((tiny as f64 / all.len() as f64 - 0.75).abs() < 0.04);
    assert!(all.is_sorted_by_key(|arrival| arrival.at));
    assert!(mix.describe().starts_with("75 % tiny: prompts of 16 to 128 tokens"));
}

#[test]
fn what_cannot_be_is_said() {
    let unknown = Workload::named("chats").unwrap_err().to_string();
    assert!(unknown.contains("\"chats\"") && unknown.contains("chat, code"), "{unknown}");
    assert!(Workload::mix("none", Vec::new()).is_err());
    assert!(Workload::mix("none", vec![(0.0, Workload::chat())]).is_err());
}
