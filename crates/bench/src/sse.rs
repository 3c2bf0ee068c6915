//! Server-sent events out of a body that is cut anywhere, told apart without parsing JSON.

use memchr::memmem;

/// What one event of a completion stream is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// It carries text: one token, as vLLM sends them.
    Token,
    /// `data: [DONE]`.
    Done,
    /// An error object inside the stream.
    Error,
    /// Role, usage, comment, or an empty last chunk.
    Other,
}

/// Finds the ends of events; keeps only the tail of an unfinished one.
#[derive(Debug, Default)]
pub struct Events {
    carry: Vec<u8>,
}

impl Events {
    /// Takes the next bytes of the body and gives every event that ends in them to `on`.
    pub fn push(&mut self, mut bytes: &[u8], mut on: impl FnMut(Event)) {
        if !self.carry.is_empty() {
            // The end may be cut between its two line breaks, so the search starts inside the carry.
            let searched = self.carry.len() - 1;
            self.carry.extend_from_slice(bytes);
            let Some(end) = memmem::find(&self.carry[searched..], b"\n\n") else { return };
            let end = searched + end + 2;
            on(kind(&self.carry[..end]));
            bytes = &bytes[bytes.len() - (self.carry.len() - end)..];
            self.carry.clear();
        }
        while let Some(end) = memmem::find(bytes, b"\n\n") {
            on(kind(&bytes[..end]));
            bytes = &bytes[end + 2..];
        }
        self.carry.extend_from_slice(bytes);
    }
}

fn kind(event: &[u8]) -> Event {
    let Some(data) = event.strip_prefix(b"data:") else { return Event::Other };
    let data = data.trim_ascii();
    if data == b"[DONE]" {
        Event::Done
    } else if data.starts_with(b"{\"error\"") {
        Event::Error
    } else if has_text(data, b"\"content\":") || has_text(data, b"\"text\":") {
        Event::Token
    } else {
        Event::Other
    }
}

/// The member is there and is a string of at least one character.
fn has_text(data: &[u8], member: &[u8]) -> bool {
    memmem::find(data, member).is_some_and(|at| {
        let value = data[at + member.len()..].trim_ascii_start();
        value.first() == Some(&b'"') && value.get(1).is_some_and(|&byte| byte != b'"')
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &str = concat!(
        r#"data: {"choices":[{"delta":{"role":"assistant","content":""}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"delta":{"content":" a"}}]}"#,
        "\n\n",
        r#"data: {"choices":[{"text": "\"b"}]}"#,
        "\n\n",
        ": a comment\n\n",
        r#"data: {"choices":[],"usage":{"prompt_tokens":8}}"#,
        "\n\n",
        r#"data: {"error":{"message":"the engine went away"}}"#,
        "\n\n",
        "data: [DONE]\n\n",
    );

    fn events(pieces: &[&[u8]]) -> Vec<Event> {
        let (mut events, mut seen) = (Events::default(), Vec::new());
        for piece in pieces {
            events.push(piece, |event| seen.push(event));
        }
        seen
    }

    #[test]
    fn events_are_told_apart_wherever_they_are_cut() {
        use Event::{Done, Error, Other, Token};
        let expected = [Other, Token, Token, Other, Other, Error, Done];
        let bytes = STREAM.as_bytes();
        assert_eq!(events(&[bytes]), expected);
        for cut in 0..bytes.len() {
            assert_eq!(events(&[&bytes[..cut], &bytes[cut..]]), expected, "cut at {cut}");
        }
        assert_eq!(events(&bytes.chunks(1).collect::<Vec<_>>()), expected);
    }

    #[test]
    fn an_unfinished_event_is_not_an_event() {
        assert!(events(&[b"data: [DONE]\n"]).is_empty());
    }
}
