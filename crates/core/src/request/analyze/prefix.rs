//! Hashes of a prompt's blocks, by which it is found again in prefix caches.
//!
//! Engines cache by tokens; the router has bytes. Two prompts that begin with the same bytes begin with the same
//! tokens, so blocks of bytes do as well, at a coarser grain and without a tokenizer. The hash is xxh3, which reads
//! some 10 GB/s; the worst that a collision does is that a prompt is computed where it was hoped to be cached.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::request::analyze::analysis::Analysis;

/// Bytes of one block, about 256 tokens of English. Half of it doubles the entries that a prompt takes in the index;
/// double finds up to 512 tokens less of a shared beginning. Tuned in the lab, no sensitivity measured.
pub const BLOCK_BYTES: usize = 1024;
/// The most blocks of one prompt that are hashed: 2 MiB, half a million tokens, the longest contexts in use. What is
/// behind them counts as not cached.
const MAX_BLOCKS: usize = 2048;

impl Analysis {
    /// One hash for each whole block of the prompt, over that block and all before it. The model's name is hashed too,
    /// because each adapter has a cache of its own.
    #[must_use]
    pub fn prefix_blocks(&self, body: &[u8]) -> Box<[u64]> {
        let prompt = self.prompt_at..self.prompt_at + self.prompt_bytes;
        let prompt = body.get(prompt).unwrap_or_default();
        let mut hash = xxh3_64_with_seed(self.model.as_deref().unwrap_or_default().as_bytes(), 0);
        let chained = prompt.chunks_exact(BLOCK_BYTES).take(MAX_BLOCKS).map(|block| {
            hash = xxh3_64_with_seed(block, hash);
            hash
        });
        chained.collect()
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderMap;

    use crate::request::analyze::{Api, HeaderRules, analyze};

    fn blocks(model: &str, messages: &[&str]) -> Box<[u64]> {
        let messages: Vec<_> = messages
            .iter()
            .map(|text| serde_json::json!({"role": "user", "content": text}))
            .collect();
        let body = serde_json::json!({"model": model, "messages": messages}).to_string();
        let rules = HeaderRules::default();
        let analysis = analyze(Api::ChatCompletions, &HeaderMap::new(), body.as_bytes(), &rules);
        analysis.expect("a good body").prefix_blocks(body.as_bytes())
    }

    #[test]
    fn a_conversation_that_grows_keeps_its_beginning() {
        let (long, other) = ("a".repeat(5000), "b".repeat(5000));
        let first = blocks("m", &[&long]);
        let second = blocks("m", &[&long, &other]);
        assert_eq!((first.len(), second.len()), (4, 9));
        assert_eq!(first[..], second[..4]);
        let elsewhere = blocks("m", &[&other, &long]);
        assert!(elsewhere.iter().all(|hash| !second.contains(hash)));
    }

    #[test]
    fn adapters_share_nothing_and_short_prompts_have_no_blocks() {
        let long = "a".repeat(5000);
        assert_ne!(blocks("m", &[&long])[0], blocks("lora", &[&long])[0]);
        assert!(blocks("m", &["hello"]).is_empty());
    }
}
