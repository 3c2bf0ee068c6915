//! Which HTTP a client speaks, told from its first bytes: HTTP/2 begins with a fixed preface, all else is HTTP/1.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A preface that comes in pieces is looked at again after this; a rare thing, so no effort is made.
const LOOK_AGAIN: Duration = Duration::from_millis(10);

/// The HTTP of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Waits for the first bytes, and leaves them where they are. `None`: the client left without a word.
pub(crate) async fn of(stream: &TcpStream) -> io::Result<Option<Protocol>> {
    let mut begin = [0; PREFACE.len()];
    loop {
        let read = stream.peek(&mut begin).await?;
        match &begin[..read] {
            [] => return Ok(None),
            PREFACE => return Ok(Some(Protocol::Http2)),
            part if !PREFACE.starts_with(part) => return Ok(Some(Protocol::Http1)),
            _ => tokio::time::sleep(LOOK_AGAIN).await,
        }
    }
}
