//! Prompts as engines and routers see them: hash chains over tokens.

use std::sync::Arc;

use qoe_sim::engine::request::Prompt;
use qoe_sim::text::Chain;

use crate::lab::arrival::{Content, Piece};
use crate::lab::draw::mix;

/// Tokens of a block of the engines' KV caches.
pub(super) const ENGINE_BLOCK: u32 = 16;
/// Tokens of a block that routers hash: those of 1 KiB of English.
pub(super) const ROUTER_BLOCK: u32 = 256;

/// A prompt, made of its pieces.
pub(super) struct Made {
    pub(super) prompt: Prompt,
    /// What a router would hash.
    pub(super) blocks: Vec<u64>,
}

/// Writes the pieces out as tokens, an answer as the engines write it.
pub(super) fn make(pieces: &Arc<[Piece]>) -> Made {
    let mut chain = Chain::START;
    let mut tokens = 0;
    let (mut engine, mut router) = (Vec::new(), Vec::new());
    for piece in pieces.iter() {
        for at in 0..piece.tokens {
            let token = match piece.content {
                Content::Words(words) => mix(words, u64::from(at)),
                Content::Answer => chain.next_token(0),
            };
            chain = chain.push(token);
            tokens += 1;
            if tokens % ENGINE_BLOCK == 0 {
                engine.push(chain.0);
            }
            if tokens % ROUTER_BLOCK == 0 {
                router.push(chain.0);
            }
        }
    }
    Made { prompt: Prompt { tokens, blocks: engine, chain }, blocks: router }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prompt_that_goes_on_begins_as_the_one_before() {
        let words = |seed, tokens| Piece { content: Content::Words(seed), tokens };
        let first = make(&vec![words(1, 500), words(2, 100)].into());
        let answer = Piece { content: Content::Answer, tokens: 80 };
        let second = make(&vec![words(1, 500), words(2, 100), answer, words(3, 50)].into());
        assert_eq!((first.prompt.tokens, second.prompt.tokens), (600, 730));
        assert_eq!(second.prompt.blocks[..37], first.prompt.blocks[..]);
        assert_eq!(second.blocks[..2], first.blocks[..]);
        let mut chain = first.prompt.chain;
        for _ in 0..80 {
            chain = chain.push(chain.next_token(0));
        }
        let written = make(&vec![words(1, 500), words(2, 100), answer].into());
        assert_eq!(written.prompt.chain, chain, "the answer is what an engine would write");
    }
}
