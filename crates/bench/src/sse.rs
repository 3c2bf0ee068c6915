//! Splits a body into server-sent events and classifies them without parsing JSON. Reads may split the body anywhere.

use memchr::memmem;

/// The kinds of events in a completion stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SseEvent {
    /// An event with text: one token, as vLLM sends them.
    Token,
    /// `data: [DONE]`.
    Done,
    /// An error object inside the stream.
    Error,
    /// Any other event: role, usage, comment, or an empty last chunk.
    Other,
}

/// Finds the ends of events, and keeps only the bytes of an unfinished one.
#[derive(Debug, Default)]
pub struct Events {
    carry: Vec<u8>,
}

impl Events {
    /// Takes the next bytes of the body, and calls `on` with every event that ends in them.
    pub fn push(&mut self, mut bytes: &[u8], mut on: impl FnMut(SseEvent)) {
        if !self.carry.is_empty() {
            // A read may end between the two line breaks, so the search starts one byte before the new bytes.
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

fn kind(event: &[u8]) -> SseEvent {
    let Some(data) = event.strip_prefix(b"data:") else { return SseEvent::Other };
    let data = data.trim_ascii();
    if data == b"[DONE]" {
        SseEvent::Done
    } else if data.starts_with(b"{\"error\"") {
        SseEvent::Error
    } else if has_text(data, b"\"content\":") || has_text(data, b"\"text\":") {
        SseEvent::Token
    } else {
        SseEvent::Other
    }
}

/// Whether the member is present and is a non-empty string.
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

    fn events(pieces: &[&[u8]]) -> Vec<SseEvent> {
        let (mut events, mut seen) = (Events::default(), Vec::new());
        for piece in pieces {
            events.push(piece, |event| seen.push(event));
        }
        seen
    }

    #[test]
    fn events_are_told_apart_wherever_they_are_cut() {
        use SseEvent::{Done, Error, Other, Token};
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
