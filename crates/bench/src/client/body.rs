//! The framing of an answer's body, and the removal of it.

/// The answer breaks HTTP/1.1's framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Malformed(pub &'static str);

/// The state of one body while it is read. Reads may split it anywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Body(State);

#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Length(u64),
    UntilClose,
    /// In the line with the size of a chunk.
    Size {
        value: u64,
        digits: u8,
        extension: bool,
    },
    Data(u64),
    /// In the line break after the data of a chunk.
    DataEnd,
    /// In the lines after the last chunk. `length` bytes of the current line were read.
    Trailer {
        length: u32,
    },
    Done,
}

const NEW_SIZE: State = State::Size { value: 0, digits: 0, extension: false };

impl Body {
    /// A body of exactly this many bytes.
    #[must_use]
    pub const fn length(bytes: u64) -> Self {
        Self(if bytes == 0 { State::Done } else { State::Length(bytes) })
    }

    /// A body in chunks.
    #[must_use]
    pub const fn chunked() -> Self {
        Self(NEW_SIZE)
    }

    /// A body that ends with its connection.
    #[must_use]
    pub const fn until_close() -> Self {
        Self(State::UntilClose)
    }

    /// Whether the whole body was read.
    #[must_use]
    pub fn is_done(&self) -> bool {
        self.0 == State::Done
    }

    /// Whether the connection may end here without cutting the body.
    #[must_use]
    pub fn may_end(&self) -> bool {
        matches!(self.0, State::Done | State::UntilClose)
    }

    /// Passes the payload in `input` to `out`. Returns the number of bytes that belong to this body.
    ///
    /// # Errors
    /// [`Malformed`] when the chunk framing is broken.
    pub fn decode(
        &mut self,
        input: &[u8],
        out: &mut impl FnMut(&[u8]),
    ) -> Result<usize, Malformed> {
        let mut at = 0;
        while at < input.len() && self.0 != State::Done {
            at += self.step(&input[at..], out)?;
        }
        Ok(at)
    }

    fn step(&mut self, input: &[u8], out: &mut impl FnMut(&[u8])) -> Result<usize, Malformed> {
        match &mut self.0 {
            State::UntilClose => {
                out(input);
                Ok(input.len())
            }
            State::Length(left) => {
                let (used, rest) = take(input, *left, out);
                self.0 = if rest == 0 { State::Done } else { State::Length(rest) };
                Ok(used)
            }
            State::Data(left) => {
                let (used, rest) = take(input, *left, out);
                self.0 = if rest == 0 { State::DataEnd } else { State::Data(rest) };
                Ok(used)
            }
            _ => self.framing(input[0]).map(|()| 1),
        }
    }

    /// Handles one byte of framing.
    fn framing(&mut self, byte: u8) -> Result<(), Malformed> {
        let next = match (&mut self.0, byte) {
            (State::Size { digits: 0, .. }, b'\n') => {
                return Err(Malformed("a chunk without size"));
            }
            (State::Size { value: 0, .. }, b'\n') => State::Trailer { length: 0 },
            (State::Size { value, .. }, b'\n') => State::Data(*value),
            (State::Size { extension: true, .. }, _) => return Ok(()),
            (State::Size { extension, .. }, b';' | b'\r' | b' ') => {
                *extension = true;
                return Ok(());
            }
            (State::Size { value, digits, .. }, byte) => return size_digit(value, digits, byte),
            (State::DataEnd, b'\n') => NEW_SIZE,
            (State::DataEnd | State::Trailer { .. }, b'\r') => return Ok(()),
            (State::DataEnd, _) => return Err(Malformed("a chunk longer than its size")),
            (State::Trailer { length: 0 }, b'\n') => State::Done,
            (State::Trailer { .. }, b'\n') => State::Trailer { length: 0 },
            (State::Trailer { length }, _) => State::Trailer { length: length.saturating_add(1) },
            (State::Length(_) | State::UntilClose | State::Data(_) | State::Done, _) => {
                return Err(Malformed("payload taken for framing"));
            }
        };
        self.0 = next;
        Ok(())
    }
}

fn size_digit(value: &mut u64, digits: &mut u8, byte: u8) -> Result<(), Malformed> {
    let digit = char::from(byte).to_digit(16).ok_or(Malformed("a chunk size that is not hex"))?;
    if *digits == 15 {
        return Err(Malformed("a chunk size of more than 15 digits"));
    }
    *value = *value * 16 + u64::from(digit);
    *digits += 1;
    Ok(())
}

fn take(input: &[u8], left: u64, out: &mut impl FnMut(&[u8])) -> (usize, u64) {
    let used = usize::try_from(left).map_or(input.len(), |left| left.min(input.len()));
    out(&input[..used]);
    (used, left - used as u64)
}
