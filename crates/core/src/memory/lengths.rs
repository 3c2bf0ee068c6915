//! The expected length of an answer: what the client says, or the mean of earlier answers to prompts of that length.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// The classes of prompt lengths, by powers of two: the last begins at 262,144 tokens.
const CLASSES: usize = 20;
/// Answers after which a mean is used. Tuned in the lab, no sensitivity measured.
const BELIEVED_AFTER: u32 = 8;
/// The least weight of one answer in a mean, so a mean over the last 50 or so. Tuned in the lab, no sensitivity
/// measured.
const LEAST_GAIN: f64 = 0.02;
/// The expected length, in tokens, before enough answers were seen. No source; the first answers replace it.
const PRIOR: f64 = 200.0;

/// A moving mean. A lost race loses one answer.
#[derive(Debug, Default)]
struct LengthMean {
    value: AtomicU64,
    count: AtomicU32,
}

impl LengthMean {
    fn learn(&self, value: f64) {
        let count = self.count.load(Ordering::Relaxed);
        let old = f64::from_bits(self.value.load(Ordering::Relaxed));
        let gain = (1.0 / (f64::from(count) + 1.0)).max(LEAST_GAIN);
        self.value.store((old + gain * (value - old)).to_bits(), Ordering::Relaxed);
        self.count.store(count.saturating_add(1), Ordering::Relaxed);
    }

    fn get(&self) -> Option<f64> {
        (self.count.load(Ordering::Relaxed) >= BELIEVED_AFTER)
            .then(|| f64::from_bits(self.value.load(Ordering::Relaxed)))
    }
}

/// The lengths of one route's answers.
#[derive(Debug, Default)]
pub struct Lengths {
    by_prompt: [LengthMean; CLASSES],
    all: LengthMean,
}

impl Lengths {
    /// Learns the length of an answer, in tokens, to a prompt of this many tokens.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub fn learn(&self, prompt_tokens: u64, output_tokens: u64) {
        if output_tokens > 0 {
            self.by_prompt[class(prompt_tokens)].learn(output_tokens as f64);
            self.all.learn(output_tokens as f64);
        }
    }

    /// The expected tokens of an answer: as `said` by the client, or as learned, and at most `limit`.
    #[must_use]
    pub fn expected(&self, prompt_tokens: u64, said: Option<u32>, limit: Option<u32>) -> f64 {
        let learned = || self.by_prompt[class(prompt_tokens)].get().or_else(|| self.all.get());
        let expected = said.map_or_else(|| learned().unwrap_or(PRIOR), f64::from);
        expected.min(limit.map_or(f64::INFINITY, f64::from)).max(1.0)
    }

    /// The mean length of all answers, in tokens.
    #[must_use]
    pub fn mean(&self) -> f64 {
        self.all.get().unwrap_or(PRIOR)
    }
}

fn class(prompt_tokens: u64) -> usize {
    (u64::BITS - prompt_tokens.leading_zeros()).min(CLASSES as u32 - 1) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clients_word_goes_before_what_was_learned() {
        let lengths = Lengths::default();
        assert!((lengths.expected(1000, None, None) - PRIOR).abs() < 1e-9);
        for _ in 0..50 {
            lengths.learn(1000, 80);
            lengths.learn(50_000, 900);
        }
        assert!((lengths.expected(900, None, None) - 80.0).abs() < 1e-6);
        assert!((lengths.expected(40_000, None, None) - 900.0).abs() < 1e-6);
        assert!((lengths.expected(10, None, None) - 490.0).abs() < 60.0, "as all others");
        assert!((lengths.expected(900, Some(7), None) - 7.0).abs() < 1e-9);
        assert!((lengths.expected(40_000, None, Some(16)) - 16.0).abs() < 1e-9);
    }
}
