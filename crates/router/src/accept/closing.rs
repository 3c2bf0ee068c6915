//! How clients' connections end when the router does.
//!
//! A kept HTTP/1 connection cannot be closed without a race: the client's next request may be on its way. So from the
//! moment the router is told to end, answers say `connection: close`. A stream that began before could not say so;
//! its connection is left open until it has been quiet for a moment, and a client that goes on at once is answered,
//! with the word. HTTP/2 has a frame for it, and no race.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use hyper::rt::{Read, ReadBufCursor, Write};

/// A client that goes on does so within this.
const LINGER: Duration = Duration::from_secs(1);

/// How often something was read from or written to a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Activity(Arc<AtomicU64>);

impl Activity {
    /// Waits until nothing has happened for a moment.
    pub(crate) async fn quiet(&self) {
        let mut seen = None;
        loop {
            let now = self.0.load(Ordering::Relaxed);
            if seen == Some(now) {
                return;
            }
            seen = Some(now);
            tokio::time::sleep(LINGER).await;
        }
    }

    fn count<T>(&self, done: Poll<T>) -> Poll<T> {
        if done.is_ready() {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        done
    }
}

/// A connection whose activity is counted.
#[derive(Debug)]
pub(crate) struct Counted<T>(pub(crate) T, pub(crate) Activity);

impl<T: Read + Unpin> Read for Counted<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let done = Pin::new(&mut self.0).poll_read(context, buffer);
        self.1.count(done)
    }
}

impl<T: Write + Unpin> Write for Counted<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.0).poll_write(context, bytes);
        self.1.count(done)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let done = Pin::new(&mut self.0).poll_write_vectored(context, bytes);
        self.1.count(done)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
