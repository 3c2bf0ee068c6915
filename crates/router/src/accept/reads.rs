//! A client's connection that notes when bytes come from the client.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};

use hyper::rt::{Read, ReadBufCursor, Write};

/// Passes reads and writes on, and sets the flag when a read brought bytes.
#[derive(Debug)]
pub(crate) struct NotedReads<T> {
    pub(crate) io: T,
    pub(crate) received: Arc<AtomicBool>,
}

impl<T: Read + Unpin> Read for NotedReads<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let read = ready!(Pin::new(&mut self.io).poll_read(cx, buffer));
        // An end or an error counts too: hyper sees it as well, and ends the connection.
        self.received.store(true, Ordering::Relaxed);
        Poll::Ready(read)
    }
}

impl<T: Write + Unpin> Write for NotedReads<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::VecDeque;
    use std::task::Waker;

    use hyper::rt::ReadBuf;

    use super::*;

    /// Reads as it was told, then is pending; takes any write.
    struct Fake(VecDeque<io::Result<&'static [u8]>>);

    impl Read for Fake {
        fn poll_read(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            mut buffer: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            let Some(read) = self.0.pop_front() else { return Poll::Pending };
            Poll::Ready(read.map(|bytes| buffer.put_slice(bytes)))
        }
    }

    impl Write for Fake {
        fn poll_write(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            Poll::Ready(Ok(bytes.len()))
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    #[test]
    fn only_a_read_that_is_done_is_noted_and_writes_never_are() {
        let reset = io::Error::from(io::ErrorKind::ConnectionReset);
        let reads = [(Ok(&b"GET"[..]), true), (Ok(&b""[..]), true), (Err(reset), true)];
        for (read, noted) in reads {
            let received = Arc::<AtomicBool>::default();
            let mut io = NotedReads { io: Fake(VecDeque::from([read])), received };
            let cx = &mut Context::from_waker(Waker::noop());
            let mut bytes = [0; 8];
            let mut buffer = ReadBuf::new(&mut bytes);
            assert!(Pin::new(&mut io).poll_write(cx, b"token").is_ready());
            assert!(Pin::new(&mut io).poll_flush(cx).is_ready());
            assert!(!io.received.load(Ordering::Relaxed));
            let _read = Pin::new(&mut io).poll_read(cx, buffer.unfilled());
            assert_eq!(io.received.swap(false, Ordering::Relaxed), noted);
            assert!(Pin::new(&mut io).poll_read(cx, buffer.unfilled()).is_pending());
            assert!(!io.received.load(Ordering::Relaxed), "a pending read brought nothing");
        }
    }
}
