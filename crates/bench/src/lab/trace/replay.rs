//! Converts a window of a trace to arrivals, at another speed.

use std::collections::HashSet;
use std::time::Duration;

use crate::lab::arrival::{Arrival, Content, Piece};
use crate::lab::draw::{Draw, mix};
use crate::lab::trace::row::{BLOCK, Row};
use crate::lab::trace::rows::Trace;
use crate::lab::workload::draft::Draft;
use crate::lab::workload::promises::Promises;

/// The window of a trace to play, and its speed.
///
/// Time is compressed: `speed` 2 doubles the requests per second. Bursts keep their shape relative to the rate, and
/// pauses within conversations shrink too.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replay {
    /// The rate, in multiples of the trace's.
    pub speed: f64,
    /// The start of the window, in the time of the trace.
    pub from: Duration,
    /// The length of the window, in the time of the trace.
    pub span: Duration,
    /// The priorities, targets and stated lengths of requests.
    pub promises: Promises,
    /// The seed of everything that the trace lacks: priorities, stated lengths, and words of prompts without block ids.
    pub seed: u64,
}

impl Default for Replay {
    fn default() -> Self {
        Self {
            speed: 1.0,
            from: Duration::ZERO,
            span: Duration::MAX,
            promises: Promises::default(),
            seed: 1,
        }
    }
}

/// Separates the block ids of traces from all other seeds of words.
const BLOCKS: u64 = 0xB10C;

impl Replay {
    /// The arrivals in order of time.
    #[must_use]
    pub fn arrivals(&self, trace: &Trace) -> Vec<Arrival> {
        // Separate streams keep the words of prompts the same when priorities change.
        let (mut words, mut labels) = (Draw::new(self.seed, 2), Draw::new(self.seed, 3));
        let mut ends = HashSet::new();
        let until = self.from.saturating_add(self.span);
        let rows = trace.rows().iter().filter(|row| (self.from..until).contains(&row.at));
        rows.map(|row| {
            let at = (row.at - self.from).as_secs_f64() / self.speed;
            let goes_on = goes_on(row, &mut ends);
            let prompt = prompt(row, &mut words);
            let draft = Draft { at, prompt, output_tokens: row.output_tokens, goes_on };
            self.promises.arrival(draft, &mut labels)
        })
        .collect()
    }

    /// The speed at which `trace`'s window has `rate` requests per second on average.
    #[must_use]
    pub fn speed_for(&self, trace: &Trace, rate: f64) -> f64 {
        let until = self.from.saturating_add(self.span);
        let rows = trace.rows().iter().filter(|row| (self.from..until).contains(&row.at));
        let last = trace.rows().last().map_or(Duration::ZERO, |row| row.at);
        let seconds = until.min(last).saturating_sub(self.from).as_secs_f64();
        rate * seconds / (rows.count() as f64).max(1.0)
    }
}

/// The prompt of a row: its blocks, the last one truncated. Without blocks: words that no other prompt has.
fn prompt(row: &Row, words: &mut Draw) -> Vec<Piece> {
    if row.blocks.is_empty() {
        // The trace does not tell what prompts share, so nothing is shared.
        return vec![Piece { content: Content::Words(words.word()), tokens: row.prompt_tokens }];
    }
    let piece = |(index, &block): (usize, &u64)| Piece {
        content: Content::Words(mix(BLOCKS, block)),
        tokens: (row.prompt_tokens - index as u32 * BLOCK).min(BLOCK),
    };
    row.blocks.iter().enumerate().map(piece).collect()
}

/// Whether the row begins with all full blocks of an earlier prompt, at least two, and so is most likely the next turn.
/// A single shared block is a system prompt. `ends` are the last full blocks of all earlier prompts.
fn goes_on(row: &Row, ends: &mut HashSet<u64>) -> bool {
    let full = (row.prompt_tokens / BLOCK) as usize;
    let goes_on = row.blocks.iter().take(full).skip(1).any(|block| ends.contains(block));
    // A prompt of one block would make every later one with the same system prompt its next turn.
    if full > 1 {
        ends.extend(row.blocks.get(full - 1));
    }
    goes_on
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(at: u64, prompt_tokens: u32, blocks: &[u64]) -> Row {
        Row {
            at: Duration::from_secs(at),
            prompt_tokens,
            output_tokens: 5,
            blocks: blocks.to_vec(),
        }
    }

    fn trace(rows: &[Row]) -> Trace {
        Trace { rows: rows.to_vec() }
    }

    #[test]
    fn a_window_is_played_at_its_speed() {
        let trace = trace(&[row(0, 1, &[]), row(10, 2, &[]), row(16, 3, &[]), row(20, 4, &[])]);
        let (from, span) = (Duration::from_secs(10), Duration::from_secs(10));
        let replay = Replay { speed: 2.0, from, span, ..Replay::default() };
        let arrivals = replay.arrivals(&trace);
        let seen: Vec<_> = arrivals.iter().map(|a| (a.at.as_secs(), a.prompt_tokens())).collect();
        assert_eq!(seen, [(0, 2), (3, 3)]);
        assert_eq!(arrivals, replay.arrivals(&trace), "one seed, one workload");
        assert_ne!(arrivals[0].prompt[0].content, arrivals[1].prompt[0].content);
        assert_eq!(
            replay.speed_for(&trace, 1.0),
            5.0,
            "two in ten seconds are a fifth of one a second"
        );
    }

    #[test]
    fn blocks_are_shared_and_the_last_one_is_cut() {
        let trace =
            trace(&[row(0, 1_100, &[1, 2, 3]), row(1, 2_000, &[1, 2, 4, 5]), row(2, 600, &[1, 6])]);
        let arrivals = Replay::default().arrivals(&trace);
        let tokens =
            |index: usize| arrivals[index].prompt.iter().map(|p| p.tokens).collect::<Vec<_>>();
        assert_eq!((tokens(0), tokens(1)), (vec![512, 512, 76], vec![512, 512, 512, 464]));
        assert_eq!(arrivals[0].prompt[..2], arrivals[1].prompt[..2]);
        assert_ne!(arrivals[0].prompt[2].content, arrivals[1].prompt[2].content);
        let on: Vec<bool> = arrivals.iter().map(|arrival| arrival.goes_on).collect();
        assert_eq!(on, [false, true, false], "a system prompt in common is no conversation");
    }
}
