//! Tokens and text: a tokenizer and a "language model" that are pure functions of their input.
//!
//! Every instance of the simulator must write the same text for the same prompt. A stream that another instance
//! continues from the delivered text must read as if it had not moved. So the next token is a function of a hash chain
//! over *all* tokens before it, and the tokenizer splits prompts and generated text in the same way.

/// A token id: the bytes of its text with a leading one bit, so that every id can be converted back to text. It has at
/// most 49 bits, which JSON numbers represent exactly.
pub type Token = u64;

/// The maximum length of a token, in bytes. English text gets about four bytes per token with it.
const PIECE: usize = 6;

/// The words that the simulator writes. Each is one token and starts with a space, where the tokenizer splits.
const WORDS: [&str; 64] = [
    " the", " a", " river", " stone", " light", " under", " over", " when", " small", " green",
    " moves", " holds", " early", " late", " north", " south", " open", " close", " wind", " rain",
    " field", " house", " road", " story", " voice", " paper", " table", " glass", " water",
    " fire", " earth", " cloud", " night", " day", " hand", " eye", " word", " line", " step",
    " turn", " come", " go", " see", " hear", " find", " keep", " give", " take", " long",
    " short", " warm", " cold", " quiet", " loud", " first", " last", " near", " far", " and",
    " but", " or", " with", " from", " into",
];

/// The hash of a token sequence, extended one token at a time. After a whole number of blocks it is the hash of that
/// prefix, which is the key of the prefix cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Chain(pub u64);

impl Chain {
    /// The empty sequence.
    pub const START: Self = Self(0x51_7c_c1_b7_27_22_0a_95);

    /// The hash of the sequence extended by `token`.
    #[must_use]
    pub fn push(self, token: Token) -> Self {
        Self(mix(self.0 ^ token))
    }

    /// The token that follows. `variant` distinguishes the samples of one request (`n` > 1).
    #[must_use]
    pub fn next_token(self, variant: u32) -> Token {
        let word = WORDS[(mix(self.0 ^ salt(variant, 1)) >> 32) as usize % WORDS.len()];
        token_of(word.as_bytes())
    }

    /// Whether the model would end its answer here: once in 256 tokens on average.
    #[must_use]
    pub fn ends_here(self, variant: u32) -> bool {
        mix(self.0 ^ salt(variant, 2)).is_multiple_of(256)
    }
}

fn salt(variant: u32, purpose: u64) -> u64 {
    (u64::from(variant) << 8 | purpose).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// The finalizer of SplitMix64. It is bijective, so chains that differ before it differ after it.
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

/// The id of a token of at most seven bytes.
fn token_of(piece: &[u8]) -> Token {
    piece.iter().fold(1, |id, byte| id << 8 | u64::from(*byte))
}

/// Splits text into tokens. A token ends before white space, or after six bytes.
#[must_use]
pub fn tokenize(text: &str) -> Vec<Token> {
    let bytes = text.as_bytes();
    let mut tokens = Vec::with_capacity(bytes.len() / 4 + 1);
    let mut start = 0;
    for end in 1..=bytes.len() {
        let cut = end == bytes.len() || end - start == PIECE || bytes[end].is_ascii_whitespace();
        if cut {
            tokens.push(token_of(&bytes[start..end]));
            start = end;
        }
    }
    tokens
}

/// Appends the bytes of a token. Ids below 256, which the tokenizer never makes, are bytes themselves, so that ids sent
/// by clients have a text too.
pub fn append_token(out: &mut Vec<u8>, token: Token) {
    if token < 256 {
        out.push(token.to_le_bytes()[0]);
        return;
    }
    let skip = token.leading_zeros() as usize / 8 + usize::from(token.leading_zeros() % 8 == 7);
    out.extend_from_slice(&token.to_be_bytes()[skip.min(8)..]);
}

/// The text of tokens. Invalid UTF-8 becomes replacement characters.
#[must_use]
pub fn detokenize(tokens: &[Token]) -> String {
    let mut bytes = Vec::with_capacity(tokens.len() * 4);
    for token in tokens {
        append_token(&mut bytes, *token);
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn write(prompt: &str, count: usize) -> String {
        let mut chain = tokenize(prompt).into_iter().fold(Chain::START, Chain::push);
        let mut out = Vec::new();
        for _ in 0..count {
            let token = chain.next_token(0);
            append_token(&mut out, token);
            chain = chain.push(token);
        }
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn english_is_about_four_bytes_a_token() {
        let text = "The quick brown fox jumps over the lazy dog while considering alternatives";
        let per_token = text.len() as f64 / tokenize(text).len() as f64;
        assert!((3.5..5.0).contains(&per_token), "{per_token}");
    }

    #[test]
    fn text_goes_on_from_where_it_was_cut() {
        let whole = write("Tell me about routers.", 40);
        for cut in [1, 7, 39] {
            let head = write("Tell me about routers.", cut);
            let tail = write(&format!("Tell me about routers.{head}"), 40 - cut);
            assert_eq!(format!("{head}{tail}"), whole);
        }
    }

    #[test]
    fn samples_and_prompts_differ() {
        let chain = tokenize("x").into_iter().fold(Chain::START, Chain::push);
        assert!((0..8).any(|n| chain.next_token(n) != chain.next_token(0)));
        assert_ne!(write("a prompt", 12), write("b prompt", 12));
    }

    proptest! {
        #[test]
        fn detokenize_inverts_tokenize(text in ".{0,200}") {
            prop_assert_eq!(detokenize(&tokenize(&text)), text);
        }
    }
}
