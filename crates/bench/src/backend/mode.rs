//! The forms of answers that the stand-in gives to completions.

use std::str::FromStr;
use std::time::Duration;

use memchr::memmem;

/// The form of an answer: `unary`, `burst:N` or `paced:MS:N`. A request names it in its prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One JSON object of about 2 KB.
    Unary,
    /// A stream of this many tokens, each in its own HTTP chunk, written at once.
    Burst(u32),
    /// A stream with one token per interval, and this many tokens.
    Paced(Duration, u32),
}

/// The text is not a mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown mode `{0}`: use unary, burst:TOKENS or paced:MILLISECONDS:TOKENS")]
pub struct UnknownMode(String);

impl Mode {
    /// The mode in the word `mode=MODE` of a prompt. The prompt is the only part of a request that every router
    /// forwards unchanged.
    #[must_use]
    pub fn asked(body: &[u8]) -> Option<Self> {
        const WORD: &[u8] = b"mode=";
        let mode = &body[memmem::find(body, WORD)? + WORD.len()..];
        let end = mode.iter().position(|&byte| !byte.is_ascii_alphanumeric() && byte != b':')?;
        std::str::from_utf8(&mode[..end]).ok()?.parse().ok()
    }
}

impl FromStr for Mode {
    type Err = UnknownMode;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let unknown = || UnknownMode(text.to_owned());
        let number = |word: &str| word.parse::<u32>().map_err(|_| unknown());
        match text.split(':').collect::<Vec<_>>().as_slice() {
            ["unary"] => Ok(Self::Unary),
            ["burst", tokens] => Ok(Self::Burst(number(tokens)?)),
            // tokio's interval refuses zero.
            ["paced", every, tokens] => Ok(Self::Paced(
                Duration::from_millis(number(every)?.max(1).into()),
                number(tokens)?,
            )),
            _ => Err(unknown()),
        }
    }
}
