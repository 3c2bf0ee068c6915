//! A stream of server-sent events on its way to a client: what it says, and how it is cut.
//!
//! Clients act on an event when its empty line has come, and never on half a line. So a line goes on only when its end
//! has come, and whatever happens to the endpoint, the router can add an event of its own. It is the last one, and mixes
//! with no line. Of an event of several lines, which vLLM does not send, the first lines may go on before the break.

use bytes::{Bytes, BytesMut};
use memchr::memrchr;
use qoe_core::response::sse::{Finish, Scan};
use qoe_core::response::usage::Usage;

use crate::answer::broken::RelayError;

/// Most bytes of a line that are held back, as many as one read of the connection may bring. A longer line goes on in
/// parts, so that no endpoint can fill the memory; if it then breaks off, the client sees one unreadable event before
/// the error. At half, lines with many logprobs would go on in parts; at double, each broken line costs as much more.
const MAX_HELD_BYTES: usize = 64 * 1024;

/// A stream of events, as far as it has come.
#[derive(Default)]
pub(crate) struct EventStream {
    scan: Scan,
    /// The start of a line whose end has not come yet.
    held: BytesMut,
    /// The stream is broken if it ends without `[DONE]` or an error.
    must_say_done: bool,
}

impl EventStream {
    /// A stream before its first byte.
    pub(crate) fn new(must_say_done: bool) -> Self {
        Self { must_say_done, ..Self::default() }
    }

    /// Notes what a chunk says. Returns how many of its events have content.
    pub(super) fn read(&mut self, chunk: &[u8]) -> u32 {
        self.scan.feed(chunk).content_events
    }

    /// All lines that are whole with this chunk; `None` if there are none. A chunk of whole lines passes uncopied.
    pub(super) fn whole_lines(&mut self, mut chunk: Bytes) -> Option<Bytes> {
        if self.held.is_empty() && chunk.last() == Some(&b'\n') {
            return Some(chunk);
        }
        let mut end = memrchr(b'\n', &chunk).map_or(0, |at| at + 1);
        let held = if end == 0 { self.held.len() } else { 0 };
        if held + chunk.len() - end > MAX_HELD_BYTES {
            end = chunk.len();
        }
        let begun = chunk.split_off(end);
        let whole = match self.held.is_empty() || chunk.is_empty() {
            true => chunk,
            false => {
                self.held.extend_from_slice(&chunk);
                self.held.split().freeze()
            }
        };
        self.held.extend_from_slice(&begun);
        (!whole.is_empty()).then_some(whole)
    }

    /// What is left of a stream that has ended: a last line without an end.
    pub(super) fn rest(&mut self) -> Bytes {
        self.held.split().freeze()
    }

    /// Whether the endpoint, on its way down, ended the stream as if it were whole: `finish_reason: "abort"`.
    pub(super) fn aborted(&self) -> bool {
        self.scan.summary().finish == Some(Finish::Abort)
    }

    /// Whether the stream has said that it is complete, and nothing is wrong with it.
    pub(super) fn is_complete(&self) -> bool {
        self.scan.summary().clean_end
    }

    /// The last usage that the stream carried.
    pub(super) fn usage(&self) -> Option<Usage> {
        self.scan.summary().usage
    }

    /// Why a stream that has ended is not whole; `None` if it is. `broken`: the error it ended with, if it had one.
    pub(super) fn fault(&self, broken: Option<RelayError>) -> Option<RelayError> {
        let summary = self.scan.summary();
        if summary.clean_end {
            // A connection that breaks after the last event has taken nothing from the client.
            return None;
        }
        let at_end = match (summary.error_seen, summary.done_seen) {
            (true, _) => Some(RelayError::ErrorEvent),
            (false, false) if self.must_say_done => Some(RelayError::EndedEarly),
            (false, _) => None,
        };
        broken.or(at_end)
    }
}

/// The lines of a chunk that come before the endpoint gives the request up.
pub(super) fn before_abort(chunk: &Bytes) -> Bytes {
    let mut scan = Scan::default();
    let before = chunk.split_inclusive(|&byte| byte == b'\n').take_while(|line| {
        scan.feed(line);
        scan.summary().finish != Some(Finish::Abort)
    });
    chunk.slice(..before.map(<[u8]>::len).sum::<usize>())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TOKEN: &str = "data: {\"choices\":[{\"delta\":{\"content\":\"a\"}}]}\n\n";
    const ABORT: &str = "data: {\"choices\":[{\"delta\":{},\"finish_reason\":\"abort\"}]}\n\n";

    fn stream() -> EventStream {
        EventStream::new(true)
    }

    #[test]
    fn lines_go_on_whole_wherever_they_are_cut() {
        let sent = ["event: x\r\n", TOKEN, ": comment\n", TOKEN].concat();
        for one in 0..=sent.len() {
            for two in one..=sent.len() {
                let mut stream = stream();
                let mut passed = Vec::new();
                for part in [&sent[..one], &sent[one..two], &sent[two..]] {
                    let whole = stream.whole_lines(Bytes::copy_from_slice(part.as_bytes()));
                    passed.extend(whole.unwrap_or_default());
                    assert!(matches!(passed.last(), None | Some(b'\n')), "cut at {one} and {two}");
                }
                assert_eq!(passed, sent.as_bytes(), "cut at {one} and {two}");
                assert!(stream.rest().is_empty());
            }
        }
    }

    #[test]
    fn a_chunk_of_whole_lines_is_not_copied() {
        let chunk = Bytes::from_static(TOKEN.as_bytes());
        let passed = stream().whole_lines(chunk.clone()).unwrap();
        assert_eq!(passed.as_ptr(), chunk.as_ptr());
    }

    #[test]
    fn what_is_held_back_is_bounded() {
        let mut stream = stream();
        let part = Bytes::from(vec![b'x'; MAX_HELD_BYTES / 2]);
        assert_eq!(stream.whole_lines(part.clone()), None);
        assert_eq!(stream.whole_lines(part.clone()), None);
        assert_eq!(stream.whole_lines(part.slice(..1)).unwrap().len(), MAX_HELD_BYTES + 1);
        assert!(stream.rest().is_empty());
        // Whole lines before a begun one do not count as held.
        let lines = Bytes::from(vec![b'\n'; 2 * MAX_HELD_BYTES]);
        let chunk = [lines.as_ref(), b"data"].concat();
        assert_eq!(stream.whole_lines(chunk.into()).unwrap(), lines);
        assert_eq!(stream.rest(), "data");
    }

    #[test]
    fn a_last_line_without_an_end_is_the_rest() {
        let mut stream = stream();
        assert_eq!(
            stream.whole_lines(Bytes::from_static(b"data: a\ndata: b")).unwrap(),
            "data: a\n"
        );
        assert_eq!(stream.rest(), "data: b");
        assert_eq!(stream.rest(), "");
    }

    #[test]
    fn what_comes_before_an_abort_is_kept() {
        let chunk = |parts: &[&str]| Bytes::from(parts.concat());
        for (sent, kept) in [
            (chunk(&[TOKEN, TOKEN, ABORT, "data: [DONE]\n\n"]), chunk(&[TOKEN, TOKEN])),
            (chunk(&[ABORT, TOKEN]), Bytes::new()),
            (chunk(&[TOKEN]), chunk(&[TOKEN])),
            (chunk(&[]), Bytes::new()),
        ] {
            assert_eq!(before_abort(&sent), kept);
        }
    }

    #[test]
    fn a_stream_is_whole_only_if_it_said_so() {
        let error = "data: {\"error\":{\"message\":\"x\"}}\n\n";
        let done = "data: [DONE]\n\n";
        let broken = Some(RelayError::Broken);
        for (must_say_done, said, reason, fault) in [
            (true, &[TOKEN, done][..], None, None),
            (true, &[TOKEN, done], broken, None),
            (true, &[TOKEN], None, Some("ended_early")),
            (true, &[TOKEN, "data: [DONE]"], None, Some("ended_early")),
            (true, &[TOKEN], broken, Some("broken")),
            (true, &[TOKEN, error, done], None, Some("error_event")),
            (true, &[TOKEN, error], broken, Some("broken")),
            (false, &[TOKEN], None, None),
            (false, &[error], None, Some("error_event")),
            (false, &[TOKEN], broken, Some("broken")),
        ] {
            let mut stream = EventStream::new(must_say_done);
            stream.read(said.concat().as_bytes());
            assert_eq!(stream.fault(reason).map(RelayError::kind), fault, "{said:?} {reason:?}");
        }
    }
}
