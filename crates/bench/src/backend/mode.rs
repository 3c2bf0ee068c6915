//! How the stand-in answers a completion.

use std::str::FromStr;
use std::time::Duration;

use memchr::memmem;

/// `unary`, `burst:N` or `paced:MS:N`; a request asks for one in its prompt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One JSON object of about 2 KB.
    Unary,
    /// A stream of so many tokens, each its own HTTP chunk, written at once.
    Burst(u32),
    /// A stream of so many tokens, one each so often.
    Paced(Duration, u32),
}

/// A mode that there is not.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is none of: unary, burst:TOKENS, paced:MILLISECONDS:TOKENS")]
pub struct UnknownMode(String);

impl Mode {
    /// The mode that a request body asks for, as a word `mode=MODE` of its prompt: the one part of a request that
    /// every router passes on.
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
