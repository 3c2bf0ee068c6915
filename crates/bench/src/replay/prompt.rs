//! Prompts of the lab as text, with the same number of tokens and the same shared prefixes.
//!
//! A token is a space and three characters, so 256 tokens are one block of the router (1 KiB), as in the lab. Earlier
//! answers are written as the simulator writes them.

use qoe_sim::text::{Chain, append_token, tokenize};

use crate::lab::arrival::{Content, Piece};
use crate::lab::draw::mix;

/// Writes the pieces of a prompt as text.
#[must_use]
pub(super) fn text(pieces: &[Piece]) -> String {
    let answers = pieces.iter().any(|piece| piece.content == Content::Answer);
    let mut chain = Chain::START;
    let mut text = Vec::new();
    for piece in pieces {
        for at in 0..piece.tokens {
            let begins = text.len();
            match piece.content {
                Content::Words(words) => text.extend(word(mix(words, u64::from(at)))),
                Content::Answer => append_token(&mut text, chain.next_token(0)),
            }
            // Only answers depend on the hash of what precedes them, so hashing stops without one.
            if answers {
                let word = String::from_utf8_lossy(&text[begins..]);
                chain = tokenize(&word).into_iter().fold(chain, Chain::push);
            }
        }
    }
    String::from_utf8_lossy(&text).into_owned()
}

/// Appends a token: a space and three characters.
fn word(number: u64) -> [u8; 4] {
    const CHARACTERS: &[u8; 36] = b"abcdefghijklmnopqrstuvwxyz0123456789";
    let character = |place: u32| CHARACTERS[(number / 36_u64.pow(place) % 36) as usize];
    [b' ', character(0), character(1), character(2)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_has_the_tokens_and_the_beginnings_of_its_pieces() {
        let words = |seed, tokens| Piece { content: Content::Words(seed), tokens };
        let answer = Piece { content: Content::Answer, tokens: 30 };
        let first = text(&[words(1, 300), words(2, 20)]);
        let next = text(&[words(1, 300), words(2, 20), answer, words(3, 7)]);
        assert_eq!((tokenize(&first).len(), tokenize(&next).len()), (320, 357));
        assert!(next.starts_with(&first) && first.len() == 1280);
        assert_eq!(first[..1200], text(&[words(1, 300)]));
        assert_ne!(first[..1200], text(&[words(4, 300)]));
    }

    #[test]
    fn an_answer_is_what_an_engine_writes() {
        let prompt = [Piece { content: Content::Words(5), tokens: 40 }];
        let mut chain = tokenize(&text(&prompt)).into_iter().fold(Chain::START, Chain::push);
        let mut written = Vec::new();
        for _ in 0..12 {
            let token = chain.next_token(0);
            append_token(&mut written, token);
            chain = chain.push(token);
        }
        let answer = Piece { content: Content::Answer, tokens: 12 };
        let both = text(&[prompt[0], answer]);
        assert!(both.as_bytes().ends_with(&written), "{both}");
    }
}
