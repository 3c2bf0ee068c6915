//! The lab's randomness: one seed gives one workload, on every machine and with every later version of `rand`.
//!
//! `Xoshiro256PlusPlus` is among the generators whose stream `rand` documents as portable; `StdRng` and `SmallRng`
//! are not. How `rand` makes ranges and floats of that stream is not promised, so only whole words are taken from it.

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, SeedableRng};

/// A seeded stream of draws.
#[derive(Clone, Debug)]
pub struct Draw(Xoshiro256PlusPlus);

impl Draw {
    /// Creates stream number `stream` of `seed`. Streams of one seed are independent.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        Self(Xoshiro256PlusPlus::seed_from_u64(mix(seed, stream)))
    }

    /// Draws 64 random bits.
    pub fn word(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// Draws uniformly from 0 (included) to 1 (excluded).
    pub fn share(&mut self) -> f64 {
        // An `f64` has 53 bits of precision.
        (self.word() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Draws an integer uniformly from `low` to `high`, both included.
    pub fn between(&mut self, low: u32, high: u32) -> u32 {
        let values = f64::from(high.saturating_sub(low)) + 1.0;
        low + (self.share() * values) as u32
    }

    /// Draws uniformly from `low` to `high`.
    pub fn within(&mut self, low: f64, high: f64) -> f64 {
        low + self.share() * (high - low)
    }

    /// Draws the seconds to the next event of a Poisson process with `rate` events per second.
    pub fn gap(&mut self, rate: f64) -> f64 {
        // `share` returns 0 but never 1, and the logarithm needs a number above 0.
        -(1.0 - self.share()).ln() / rate
    }

    /// Draws from the standard normal distribution, by Box and Muller.
    pub fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        radius * (std::f64::consts::TAU * self.share()).cos()
    }
}

/// A hash of two words (the finaliser of SplitMix64).
#[must_use]
pub const fn mix(one: u64, other: u64) -> u64 {
    let mut word = one ^ other.wrapping_mul(0x9E37_79B9_7F4A_7C15).rotate_left(17);
    word = word.wrapping_add(0x9E37_79B9_7F4A_7C15);
    word = (word ^ (word >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    word ^ (word >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_of_a_seed_never_changes() {
        let mut draw = Draw::new(1, 0);
        let words = [draw.word(), draw.word()];
        assert_eq!(
            words,
            [8_089_978_747_140_965_633, 5_687_923_198_772_495_674],
            "written down once, for all later versions"
        );
    }

    #[test]
    fn draws_have_the_moments_of_their_distributions() {
        let mut draw = Draw::new(7, 1);
        let mean = |mut value: Box<dyn FnMut(&mut Draw) -> f64>, draw: &mut Draw| {
            (0..20_000).map(|_| value(draw)).sum::<f64>() / 20_000.0
        };
        assert!((mean(Box::new(|d| d.gap(4.0)), &mut draw) - 0.25).abs() < 0.01);
        assert!(mean(Box::new(Draw::normal), &mut draw).abs() < 0.03);
        assert!((mean(Box::new(|d| d.normal().powi(2)), &mut draw) - 1.0).abs() < 0.05);
        assert!((mean(Box::new(|d| f64::from(d.between(3, 5))), &mut draw) - 4.0).abs() < 0.03);
    }

    #[test]
    fn streams_of_a_seed_differ() {
        assert_ne!(Draw::new(1, 0).word(), Draw::new(1, 1).word());
        assert_ne!(Draw::new(1, 0).word(), Draw::new(2, 0).word());
        assert_ne!(mix(1, 2), mix(2, 1));
    }
}
