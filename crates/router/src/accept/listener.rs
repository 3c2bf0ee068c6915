//! A worker: one thread with its own listener, connections and pools. Workers share the snapshot, atomics, and a few
//! locks that are held for some nanoseconds at a request's end.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qoe_runtime::drain::DrainWatch;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::TcpListener;
use tokio::task::{LocalSet, spawn_local};

use crate::accept::connection;
use crate::accept::state::Limits;
use crate::accept::sweep::{self, Connections};
use crate::shared::Shared;
use crate::worker::Worker;
use crate::worker::drain::{Drain, Lifecycle};

/// Connections that the kernel has accepted and that wait for a worker.
const BACKLOG: i32 = 4096;
/// After a failed accept (no file descriptors left, say), the listener pauses for this long.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);
/// A request's head must come within this time from its first byte. Heads fit a few packets: at half, a client that
/// loses three packets in a row (retransmitted after 1, 2 and 4 s) is cut; at double, slow heads hold memory for twice
/// as long.
const HEAD_WITHIN: Duration = Duration::from_secs(10);
/// After the drain's deadline, answers are ended by an error event and tunnels by an orderly close within this time;
/// then everything is dropped. The pod's grace period leaves 5 s for it and for the end of the process.
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// A listener on an address that other workers may listen on too: the kernel spreads connections over them.
pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// What a worker starts with.
pub(crate) struct Start {
    pub(crate) listener: std::net::TcpListener,
    pub(crate) shared: Arc<Shared>,
    pub(crate) drain: DrainWatch,
    /// How long a client's connection may be idle.
    pub(crate) client_idle: Duration,
}

/// Runs a worker on this thread until it has drained.
pub(crate) fn run(start: Start) -> io::Result<()> {
    let Start { listener, shared, drain, client_idle } = start;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let worker = Rc::new(Worker {
        shared,
        pool: Rc::default(),
        rng: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
        drain: Rc::new(Drain::default()),
    });
    // Dropped last: the process waits for it, and tasks that are left are dropped before.
    let drain = &drain;
    let limits = Limits { head: HEAD_WITHIN, idle: client_idle };
    LocalSet::new().block_on(&runtime, async move {
        let connections = Rc::<Connections>::default();
        let listener = TcpListener::from_std(listener)?;
        spawn_local(sweep::run(Rc::clone(&worker), Rc::clone(&connections), limits));
        let accepting = spawn_local(accept(listener, Rc::clone(&worker), connections));
        // Awaited here only: its lock is shared with all workers.
        let deadline = drain.draining().await;
        accepting.abort();
        // The listener is closed when the task is gone.
        drop(accepting.await);
        end(&worker, deadline).await;
        Ok(())
    })
}

async fn accept(listener: TcpListener, worker: Rc<Worker>, connections: Rc<Connections>) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => connection::spawn(stream, &worker, &connections),
            Err(error) => {
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Lets connections and tunnels end until `deadline`, then closes those that are left.
async fn end(worker: &Worker, deadline: tokio::time::Instant) {
    worker.drain.enter(Lifecycle::Draining);
    if tokio::time::timeout_at(deadline, worker.drain.released()).await.is_ok() {
        return;
    }
    tracing::warn!(
        connections = worker.drain.open(),
        "the drain's deadline has passed (--drain-seconds): open connections are closed"
    );
    worker.shared.past_deadline.store(true, Ordering::Relaxed);
    worker.drain.enter(Lifecycle::Closing);
    if tokio::time::timeout(CLOSE_WITHIN, worker.drain.released()).await.is_err() {
        tracing::warn!(connections = worker.drain.open(), "connections are dropped");
    }
}
