//! The distributions of the lengths of prompts and answers.

use std::fmt;

use crate::lab::draw::Draw;

/// The 99th percentile of the standard normal distribution.
const Z99: f64 = 2.326_347_874;

/// A distribution of token counts of at least 1.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Length {
    /// Lognormal, given by two percentiles and capped at `max`.
    Lognormal {
        /// The median, tokens.
        p50: f64,
        /// The 99th percentile, tokens.
        p99: f64,
        /// The maximum, tokens.
        max: u32,
    },
    /// Uniform over a range.
    Uniform {
        /// The minimum, tokens.
        min: u32,
        /// The maximum of the range, tokens.
        max: u32,
    },
}

impl Length {
    /// Draws a length.
    pub fn draw(self, draw: &mut Draw) -> u32 {
        match self {
            Self::Lognormal { p50, p99, max } => {
                let sigma = (p99 / p50).ln() / Z99;
                let tokens = (p50 * (sigma * draw.normal()).exp()).round();
                (tokens as u32).clamp(1, max.max(1))
            }
            Self::Uniform { min, max } => draw.between(min.max(1), max),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Lognormal { p50, p99, .. } => write!(f, "p50 {p50} and p99 {p99} tokens"),
            Self::Uniform { min, max } => write!(f, "{min} to {max} tokens"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Sample;

    #[test]
    fn a_lognormal_has_the_percentiles_that_were_asked() {
        let length = Length::Lognormal { p50: 1_000.0, p99: 5_000.0, max: 6_000 };
        let mut draw = Draw::new(1, 1);
        let all = Sample::new((0..20_000).map(|_| f64::from(length.draw(&mut draw))).collect());
        let near = |percent: f64, expected: f64| {
            let value = all.percentile(percent).unwrap();
            assert!((value / expected - 1.0).abs() < 0.05, "p{percent}: {value}");
        };
        near(50.0, 1_000.0);
        near(99.0, 5_000.0);
        assert_eq!(all.range().unwrap().1, 6_000.0);
    }

    #[test]
    fn no_length_is_zero() {
        let mut draw = Draw::new(1, 1);
        let lengths =
            [Length::Uniform { min: 0, max: 1 }, Length::Lognormal { p50: 0.1, p99: 0.2, max: 0 }];
        assert!(lengths.iter().all(|length| length.draw(&mut draw) == 1));
    }
}
