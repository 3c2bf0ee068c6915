//! The duration of one engine step: a roofline model with fitted constants.
//!
//! A step reads the weights once and computes all its tokens. The slower of the two hides part of the other; the
//! overlap is not perfect, so the model takes a p-norm. Attention over earlier tokens and reading the KV cache of the
//! running streams are added:
//!
//! `fixed + (weights^p + (linear·prefill)^p)^(1/p) + attention·pairs + kv_read·kv + stream·streams`
//!
//! Prefill work therefore lengthens the step that the streams in the same batch wait for. This is the interference that
//! disaggregation removes. `tests/profiles.rs` checks the constants against measured tables.

use std::time::Duration;

/// The work of one step.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct StepLoad {
    /// The number of prompt tokens that the step computes.
    pub prefill_tokens: u64,
    /// The number of pairs (prompt token, token it attends to): `n·(context + n/2)` for each chunk of `n` tokens.
    pub attention_pairs: f64,
    /// The number of streams that get one token each.
    pub streams: u64,
    /// The number of KV tokens that those streams read.
    pub kv_tokens: u64,
}

impl StepLoad {
    /// Adds a chunk of `tokens` prompt tokens that follow `context` computed ones.
    pub fn add_prefill(&mut self, tokens: u64, context: u64) {
        self.prefill_tokens += tokens;
        self.attention_pairs += tokens as f64 * (context as f64 + tokens as f64 / 2.0);
    }

    /// Adds one stream whose next token reads `context` tokens.
    pub fn add_stream(&mut self, context: u64) {
        self.streams += 1;
        self.kv_tokens += context;
    }

    /// The number of tokens that the step computes.
    #[must_use]
    pub fn tokens(&self) -> u64 {
        self.prefill_tokens + self.streams
    }
}

/// The speed and the size of one engine. All times are in milliseconds.
#[derive(Clone, Debug, PartialEq)]
pub struct Profile {
    /// The name on the command line.
    pub name: &'static str,
    /// Time for scheduling, kernel launches and sampling, per step.
    pub fixed: f64,
    /// Time to read the weights, per step.
    pub weights: f64,
    /// Time to compute one prompt token.
    pub linear: f64,
    /// Time for one prompt token to attend to one token.
    pub attention: f64,
    /// Time to read the KV of one token.
    pub kv_read: f64,
    /// Time that one more stream in the batch adds.
    pub stream: f64,
    /// The exponent `p` of the norm: how well the slower of memory and compute hides the other (1: not at all).
    pub overlap: f64,
    /// The maximum number of tokens per step (`max_num_batched_tokens`).
    pub max_batched_tokens: u32,
    /// The maximum number of requests that run at once (`max_num_seqs`).
    pub max_sequences: u32,
    /// The number of blocks in the KV cache.
    pub kv_blocks: u32,
    /// The KV size of one token, in bytes.
    pub kv_bytes_per_token: u64,
    /// Time for the handshake and set-up of one KV transfer.
    pub transfer_setup: f64,
}

/// Llama 3.1 8B in bf16 on one H100 SXM, fitted to NVIDIA aiconfigurator 0.12's measured tables
/// for vLLM 0.24 (median error 3 %, largest 7 %). Batch sizes are vLLM's serving defaults. The
/// blocks fill what 16 GB of weights leave of 80 GB at a utilization of 0.92.
const LLAMA_8B_H100: Profile = Profile {
    name: "llama-8b-h100",
    fixed: 0.926,
    weights: 5.52,
    linear: 0.019_508,
    attention: 8.257e-7,
    kv_read: 4.328e-5,
    stream: 0.010_35,
    overlap: 1.802,
    max_batched_tokens: 8192,
    max_sequences: 1024,
    kv_blocks: 27_000,
    kv_bytes_per_token: 131_072,
    transfer_setup: 2.0,
};

/// The same model on one A100 SXM 80 GB, fitted to the tables for vLLM 0.14 (median error 3 %,
/// largest 10 %).
const LLAMA_8B_A100: Profile = Profile {
    name: "llama-8b-a100",
    fixed: 1.121,
    weights: 10.35,
    linear: 0.054_746,
    attention: 2.573e-6,
    kv_read: 8.367e-5,
    stream: 0.034_22,
    overlap: 1.308,
    max_batched_tokens: 2048,
    max_sequences: 256,
    ..LLAMA_8B_H100
};

/// Llama 3.1 70B in bf16 on four H100 SXM (tensor parallel 4), fitted to the tables for vLLM 0.24 with
/// `fixed` set to 1 ms, since the tables cannot separate it from `weights` (median error 2 %, largest 6 %). Batch
/// sizes are vLLM's serving defaults. The blocks fill what 141 GB of weights leave of 4 × 80 GB at a utilization of
/// 0.92.
const LLAMA_70B_4XH100: Profile = Profile {
    name: "llama-70b-4xh100",
    fixed: 1.0,
    weights: 14.22,
    linear: 0.062_81,
    attention: 9.572e-7,
    kv_read: 2.693e-5,
    stream: 0.032_35,
    overlap: 1.525,
    kv_blocks: 29_000,
    kv_bytes_per_token: 327_680,
    ..LLAMA_8B_H100
};

/// An engine whose steps take no time, for tests that are not about time.
const INSTANT: Profile = Profile {
    name: "instant",
    fixed: 0.0,
    weights: 0.0,
    linear: 0.0,
    attention: 0.0,
    kv_read: 0.0,
    stream: 0.0,
    overlap: 1.0,
    max_batched_tokens: 8192,
    max_sequences: 1024,
    kv_blocks: 27_000,
    kv_bytes_per_token: 131_072,
    transfer_setup: 0.0,
};

impl Profile {
    /// All profiles.
    pub const ALL: [Self; 4] = [LLAMA_8B_H100, LLAMA_8B_A100, LLAMA_70B_4XH100, INSTANT];

    /// Llama 3.1 8B on one H100.
    #[must_use]
    pub fn llama_8b_h100() -> Self {
        LLAMA_8B_H100
    }

    /// Llama 3.1 8B on one A100.
    #[must_use]
    pub fn llama_8b_a100() -> Self {
        LLAMA_8B_A100
    }

    /// Llama 3.1 70B on four H100.
    #[must_use]
    pub fn llama_70b_4xh100() -> Self {
        LLAMA_70B_4XH100
    }

    /// An engine whose steps take no time.
    #[must_use]
    pub fn instant() -> Self {
        INSTANT
    }

    /// The profile with this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|profile| profile.name == name)
    }

    /// The duration of one step.
    #[must_use]
    pub fn step_time(&self, load: &StepLoad) -> Duration {
        let compute = self.linear * load.prefill_tokens as f64;
        let p = self.overlap;
        let dense = (self.weights.powf(p) + compute.powf(p)).powf(1.0 / p);
        let milliseconds = self.fixed
            + dense
            + self.attention * load.attention_pairs
            + self.kv_read * load.kv_tokens as f64
            + self.stream * load.streams as f64;
        Duration::from_secs_f64(milliseconds / 1e3)
    }

    /// The time to transfer the KV cache of `tokens` tokens over a link of this many Gb/s.
    #[must_use]
    pub fn transfer_time(&self, tokens: u32, gigabits_per_second: f64) -> Duration {
        if self.name == INSTANT.name {
            return Duration::ZERO;
        }
        let bits = (self.kv_bytes_per_token * u64::from(tokens) * 8) as f64;
        Duration::from_secs_f64(self.transfer_setup / 1e3 + bits / (gigabits_per_second * 1e9))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefill_beside_streams_lengthens_their_step() {
        let profile = Profile::llama_8b_h100();
        let mut load = StepLoad::default();
        (0..32).for_each(|_| load.add_stream(2048));
        let pure = profile.step_time(&load);
        load.add_prefill(4096, 0);
        assert!(profile.step_time(&load) > pure * 5);
    }

    #[test]
    fn a_4k_prompt_moves_in_22_ms_over_200_gigabits() {
        let time = Profile::llama_8b_h100().transfer_time(4096, 200.0).as_secs_f64();
        assert!((0.0225..0.0245).contains(&time), "{time}");
    }

    #[test]
    fn names_are_unique_and_found() {
        for profile in Profile::ALL {
            assert_eq!(Profile::named(profile.name), Some(profile));
        }
        assert_eq!(Profile::named("warp"), None);
    }
}
