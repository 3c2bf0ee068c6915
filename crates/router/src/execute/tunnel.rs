//! A tunnel: the bytes of an upgraded connection, in both directions, until one side ends, nothing passes for too
//! long, or the drain's deadline comes. It must not know which protocol the bytes are.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf, copy, copy_bidirectional, sink};
use tokio::time::{Instant, sleep_until, timeout};

/// Both sides are read on for this long after they were told the end: closed with bytes unread, a socket sends a
/// reset, which overtakes what was sent before. It must be shorter than the time that a worker waits for its last
/// connections.
const READ_ON_FOR: Duration = Duration::from_millis(500);

/// How a tunnel ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// One side closed, or its connection broke.
    Closed,
    /// Nothing passed in either direction for too long.
    Idle,
    /// The router had to close it.
    Deadline,
}

/// Passes bytes between the two sides, and closes both at the end. `idle`: how long nothing may pass in either
/// direction; `deadline` resolves when the tunnel has to end.
pub(super) async fn run<A, B>(
    client: A,
    server: B,
    idle: Duration,
    deadline: impl Future<Output = ()>,
) -> End
where
    A: AsyncRead + AsyncWrite + Unpin,
    B: AsyncRead + AsyncWrite + Unpin,
{
    let passed = Rc::new(Cell::new(Instant::now()));
    let mut client = Timed { io: client, passed: Rc::clone(&passed) };
    let mut server = Timed { io: server, passed: Rc::clone(&passed) };
    let end = tokio::select! {
        // A side that breaks says nothing about the other.
        _ = copy_bidirectional(&mut client, &mut server) => return End::Closed,
        () = silence(&passed, idle) => End::Idle,
        () = deadline => End::Deadline,
    };
    // A peer that reads on to nobody's end is dropped.
    drop(timeout(READ_ON_FOR, close(client, server)).await);
    end
}

/// Resolves when nothing has passed for `idle`.
async fn silence(passed: &Cell<Instant>, idle: Duration) {
    loop {
        let due = passed.get() + idle;
        if due <= Instant::now() {
            return;
        }
        sleep_until(due).await;
    }
}

async fn close(
    mut client: impl AsyncRead + AsyncWrite + Unpin,
    mut server: impl AsyncRead + AsyncWrite + Unpin,
) {
    // What cannot be told or read has ended already.
    drop(tokio::join!(client.shutdown(), server.shutdown()));
    let (mut from_client, mut from_server) = (sink(), sink());
    let rest =
        tokio::join!(copy(&mut client, &mut from_client), copy(&mut server, &mut from_server));
    drop(rest);
}

/// One side of a tunnel, which notes when bytes were read from it or written to it.
struct Timed<T> {
    io: T,
    passed: Rc<Cell<Instant>>,
}

impl<T> Timed<T> {
    fn note<R>(&self, done: Poll<R>) -> Poll<R> {
        if done.is_ready() {
            self.passed.set(Instant::now());
        }
        done
    }
}

impl<T: AsyncRead + Unpin> AsyncRead for Timed<T> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let read = Pin::new(&mut self.io).poll_read(cx, buffer);
        self.note(read)
    }
}

impl<T: AsyncWrite + Unpin> AsyncWrite for Timed<T> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.io).poll_write(cx, bytes);
        self.note(written)
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
    use std::future::pending;

    use tokio::io::{AsyncReadExt, DuplexStream, duplex};
    use tokio::time::sleep;

    use super::*;

    const IDLE: Duration = Duration::from_secs(120);

    /// A client, an endpoint, and how the tunnel between them ends, and when.
    fn tunnel(
        deadline: impl Future<Output = ()>,
    ) -> (DuplexStream, DuplexStream, impl Future<Output = (End, Duration)>) {
        let (client, one) = duplex(64);
        let (server, two) = duplex(64);
        let run = async {
            let began = Instant::now();
            (run(one, two, IDLE, deadline).await, began.elapsed())
        };
        (client, server, run)
    }

    #[tokio::test(start_paused = true)]
    async fn one_direction_alone_keeps_it_open() {
        let (mut client, mut server, run) = tunnel(pending());
        let talk = async {
            for _ in 0..4 {
                sleep(IDLE - Duration::from_secs(1)).await;
                server.write_all(b"tick").await.expect("written");
                let mut heard = [0; 4];
                client.read_exact(&mut heard).await.expect("passed on");
            }
            // Held until the tunnel has ended by itself.
            (client.read(&mut [0; 4]).await, server.read(&mut [0; 4]).await)
        };
        let ((end, after), (to_client, to_server)) = tokio::join!(run, talk);
        assert_eq!(end, End::Idle);
        assert_eq!((to_client.expect("an end"), to_server.expect("an end")), (0, 0));
        let silent_since = (IDLE - Duration::from_secs(1)) * 4;
        assert!(after >= silent_since + IDLE, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn the_deadline_ends_both_sides_after_what_was_on_its_way() {
        let (mut client, mut server, run) = tunnel(sleep(Duration::from_secs(5)));
        let talk = async {
            client.write_all(b"before").await.expect("written");
            let (mut to_server, mut to_client) = (String::new(), String::new());
            server.read_to_string(&mut to_server).await.expect("an end");
            client.read_to_string(&mut to_client).await.expect("an end");
            (to_server, to_client)
        };
        let ((end, after), heard) = tokio::join!(run, talk);
        assert_eq!((end, heard), (End::Deadline, ("before".to_owned(), String::new())));
        assert!(after <= Duration::from_secs(5) + READ_ON_FOR, "{after:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_peer_that_writes_on_does_not_hold_up_the_end() {
        let (mut client, server, run) = tunnel(sleep(Duration::from_secs(5)));
        // A flood without any pause would not let paused time pass.
        let flood = async {
            while client.write_all(&[1; 16]).await.is_ok() {
                sleep(Duration::from_millis(1)).await;
            }
        };
        let drain = copy_out(server);
        let (end, after) = tokio::select! {
            ended = run => ended,
            () = async { tokio::join!(flood, drain); } => panic!("the sides ended before the tunnel"),
        };
        assert_eq!(end, End::Deadline);
        assert!(after <= Duration::from_secs(5) + READ_ON_FOR, "{after:?}");
    }

    /// Reads what comes, and never closes.
    async fn copy_out(mut server: DuplexStream) {
        drop(copy(&mut server, &mut sink()).await);
        pending::<()>().await;
    }

    #[tokio::test(start_paused = true)]
    async fn when_both_sides_have_closed_it_ends_at_once() {
        let (client, server, run) = tunnel(pending());
        drop((client, server));
        assert_eq!(run.await, (End::Closed, Duration::ZERO));
    }
}
