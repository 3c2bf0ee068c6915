//! The loads that routers relay.

use std::time::Duration;

use crate::request;

/// The kinds of load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RelayWorkload {
    /// [`STREAMS`] open streams with a token every 20 ms. It runs first, so that no other load has grown the memory.
    Paced,
    /// A 2 KB question, a 2 KB answer, in a closed loop.
    Unary,
    /// A stream of 16 tokens written at once, in a closed loop.
    Burst16,
    /// The same of 256 tokens.
    Burst256,
    /// Unary, with a prompt of 128 KiB.
    LongPrompt,
    /// Streams of 16 tokens at 200 requests a second, open loop: for latency, not for cost.
    Steady,
}

/// The number of streams of [`RelayWorkload::Paced`].
pub(super) const STREAMS: usize = 200;
/// The request rate of [`RelayWorkload::Steady`].
pub(super) const STEADY_RATE: f64 = 200.0;
/// The time between two tokens of a paced stream.
pub(super) const PACE: Duration = Duration::from_millis(20);

impl RelayWorkload {
    /// All loads, in the order of a round.
    pub const ALL: [Self; 6] =
        [Self::Paced, Self::Unary, Self::Burst16, Self::Burst256, Self::LongPrompt, Self::Steady];

    /// The column title.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Paced => "200 paced streams (per token)",
            Self::Unary => "unary 2 KB",
            Self::Burst16 => "16-chunk burst",
            Self::Burst256 => "256-chunk burst",
            Self::LongPrompt => "unary, 128 KiB prompt",
            Self::Steady => "steady 200 rps",
        }
    }

    /// The number of tokens of a complete stream. `None`: the answer is not streamed.
    #[must_use]
    pub const fn tokens(self, paced: u32) -> Option<u32> {
        match self {
            Self::Unary | Self::LongPrompt => None,
            Self::Burst16 | Self::Steady => Some(16),
            Self::Burst256 => Some(256),
            Self::Paced => Some(paced),
        }
    }

    /// The bytes of the request. Paced streams get `paced` tokens.
    #[must_use]
    pub fn request(self, paced: u32) -> Vec<u8> {
        let prompt_bytes = if self == Self::LongPrompt { 128 * 1024 } else { 1_800 };
        let mut pick = 0_u32;
        let prompt = request::prose(prompt_bytes / 4, || {
            pick = pick.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            pick >> 8
        });
        let (mode, stream) = match (self, self.tokens(paced)) {
            (Self::Paced, _) => (format!("paced:{}:{paced}", PACE.as_millis()), true),
            (_, Some(tokens)) => (format!("burst:{tokens}"), true),
            (_, None) => ("unary".to_owned(), false),
        };
        let tokens = self.tokens(paced).unwrap_or(64);
        request::post(
            &format!(
                r#"{{"model":"tiny","stream":{stream},"max_tokens":{tokens},"temperature":0,"messages":[{{"role":"user","content":"mode={mode} {prompt}"}}]}}"#
            ),
            &[],
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::Mode;

    #[test]
    fn a_request_asks_the_stand_in_for_what_it_measures() {
        for (workload, mode) in [
            (RelayWorkload::Unary, Mode::Unary),
            (RelayWorkload::Burst256, Mode::Burst(256)),
            (RelayWorkload::Steady, Mode::Burst(16)),
            (RelayWorkload::Paced, Mode::Paced(PACE, 90)),
        ] {
            assert_eq!(Mode::asked(&workload.request(90)), Some(mode), "{}", workload.name());
        }
    }

    #[test]
    fn sizes_are_those_of_the_titles() {
        assert!((1_900..2_300).contains(&RelayWorkload::Unary.request(0).len()));
        assert!((131_072..132_000).contains(&RelayWorkload::LongPrompt.request(0).len()));
    }
}
