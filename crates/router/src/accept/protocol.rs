//! The HTTP version that a client speaks, told from its first bytes: HTTP/2 begins with a fixed preface, everything
//! else is HTTP/1. It must not know how long they may take.

use std::io;
use std::time::Duration;

use tokio::net::TcpStream;

/// How HTTP/2 begins (RFC 9113, 3.4).
const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// A preface that comes in pieces is read again after this time: the socket reports no new bytes behind peeked ones.
/// Clients send it in one piece, so the time matters to nobody; at half, a hostile client costs twice the wakes.
const PEEK_AGAIN: Duration = Duration::from_millis(10);

/// The HTTP version of one connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// Waits for the first bytes and leaves them in the socket. `None`: the client closed without sending any. `begun` is
/// called when there are some that do not tell the protocol yet.
pub(crate) async fn of(stream: &TcpStream, begun: impl Fn()) -> io::Result<Option<Protocol>> {
    let mut begin = [0; PREFACE.len()];
    loop {
        let read = stream.peek(&mut begin).await?;
        if read == 0 {
            return Ok(None);
        }
        if let Some(protocol) = told_by(&begin[..read]) {
            return Ok(Some(protocol));
        }
        begun();
        tokio::time::sleep(PEEK_AGAIN).await;
    }
}

/// The protocol of a connection that begins with these bytes; `None` if it takes more of them to tell.
fn told_by(begin: &[u8]) -> Option<Protocol> {
    match begin {
        PREFACE => Some(Protocol::Http2),
        part if PREFACE.starts_with(part) => None,
        _ => Some(Protocol::Http1),
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use tokio::io::AsyncWriteExt;
    use tokio::net::TcpListener;

    use super::*;

    #[test]
    fn the_preface_tells_http2_with_its_last_byte_and_any_other_byte_http1() {
        for cut in 0..PREFACE.len() {
            assert_eq!(told_by(&PREFACE[..cut]), None, "after {cut} bytes");
            let mut other = PREFACE[..=cut].to_vec();
            other[cut] ^= 1;
            assert_eq!(told_by(&other), Some(Protocol::Http1), "byte {cut} is another one");
        }
        assert_eq!(told_by(PREFACE), Some(Protocol::Http2));
    }

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (client.expect("a client"), server.expect("a server").0)
    }

    #[tokio::test]
    async fn a_preface_in_pieces_is_waited_for_and_stays_in_the_socket() {
        let (mut client, server) = pair().await;
        let begun = Cell::new(false);
        let (begin, end) = PREFACE.split_at(3);
        client.write_all(begin).await.expect("written");
        let told = of(&server, || begun.set(true));
        let write = async {
            while !begun.get() {
                tokio::task::yield_now().await;
            }
            client.write_all(end).await
        };
        let (told, written) = tokio::join!(told, write);
        written.expect("written");
        assert_eq!(told.expect("readable"), Some(Protocol::Http2));
        let mut left = [0; PREFACE.len()];
        assert_eq!(server.try_read(&mut left).expect("readable"), PREFACE.len());
        assert_eq!(left, PREFACE);
    }

    #[tokio::test]
    async fn a_client_that_leaves_without_a_word_speaks_nothing() {
        let (client, server) = pair().await;
        drop(client);
        let told = of(&server, || panic!("no byte came")).await;
        assert_eq!(told.expect("readable"), None);
    }
}
