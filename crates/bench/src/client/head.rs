//! The head of an answer: status, headers, and how its body ends.

use crate::client::body::{Body, Malformed};

/// The maximum number of headers in one head.
pub const MAX_HEADERS: usize = 64;

/// A parsed head, borrowed from the read buffer.
#[derive(Debug)]
pub struct Head<'a> {
    /// The HTTP status code.
    pub status: u16,
    headers: &'a [httparse::Header<'a>],
}

impl<'a> Head<'a> {
    /// The value of the first header with this name (case does not matter), if it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&'a str> {
        let header = self.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name))?;
        std::str::from_utf8(header.value).ok()
    }

    fn says(&self, name: &str, token: &str) -> bool {
        self.header(name).is_some_and(|value| {
            value.split(',').any(|part| part.trim().eq_ignore_ascii_case(token))
        })
    }

    fn body(&self) -> Result<Body, Malformed> {
        if self.says("transfer-encoding", "chunked") {
            return Ok(Body::chunked());
        }
        if matches!(self.status, 204 | 304) {
            return Ok(Body::length(0));
        }
        match self.header("content-length") {
            Some(length) => length
                .trim()
                .parse()
                .map(Body::length)
                .map_err(|_| Malformed("content-length is not a number")),
            None => Ok(Body::until_close()),
        }
    }
}

/// Parses a head at the start of `bytes`. Returns the framing of the body, whether the connection may be kept, and the
/// length of the head; `None` while the head is incomplete. Interim answers (100) are skipped.
pub(super) fn parse(
    bytes: &[u8],
    mut seen: impl FnMut(&Head<'_>),
) -> Result<Option<(Body, bool, usize)>, Malformed> {
    let mut skipped = 0;
    loop {
        let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
        let mut response = httparse::Response::new(&mut headers);
        let parsed = response.parse(&bytes[skipped..]);
        let httparse::Status::Complete(length) =
            parsed.map_err(|_| Malformed("not an HTTP head"))?
        else {
            return Ok(None);
        };
        let status = response.code.unwrap_or(0);
        let head = Head { status, headers: response.headers };
        if (100..200).contains(&status) {
            skipped += length;
            continue;
        }
        let body = head.body()?;
        let keep = !head.says("connection", "close") && body != Body::until_close();
        seen(&head);
        return Ok(Some((body, keep, skipped + length)));
    }
}
