//! A worker: one thread with its own listener, connections and pools. What workers share is the snapshot, atomics, and
//! a few locks that are held for some nanoseconds at a request's end.

use std::cell::RefCell;
use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use qoe_runtime::drain::DrainWatch;
use rand::SeedableRng;
use rand::rngs::SmallRng;
use socket2::{Domain, Socket, Type};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use tokio::task::LocalSet;

use crate::accept::connection::connection;
use crate::shared::Shared;
use crate::worker::Worker;

/// Accepted connections that wait for a worker.
const BACKLOG: i32 = 4096;
/// After a failed accept (no file descriptors left, say), the listener rests.
const ACCEPT_REST: Duration = Duration::from_millis(50);
/// How often idle connections to endpoints are swept.
const SWEEP_EVERY: Duration = Duration::from_secs(2);

/// A listener that other workers may open too: the kernel spreads connections over them.
pub(crate) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket =
        Socket::new(Domain::for_address(address), Type::STREAM, Some(socket2::Protocol::TCP))?;
    socket.set_reuse_address(true)?;
    socket.set_reuse_port(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Runs a worker on this thread until it has drained.
pub(crate) fn run(
    listener: std::net::TcpListener,
    shared: Arc<Shared>,
    drain: DrainWatch,
) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let worker = Rc::new(Worker {
        shared,
        pool: Rc::default(),
        rng: RefCell::new(SmallRng::from_rng(&mut rand::rng())),
        drain,
    });
    LocalSet::new().block_on(&runtime, async move {
        let listener = TcpListener::from_std(listener)?;
        serve(listener, worker).await;
        Ok(())
    })
}

async fn serve(listener: TcpListener, worker: Rc<Worker>) {
    // Each connection holds a sender; nothing is ever sent.
    let (open, mut all_closed) = mpsc::channel::<Infallible>(1);
    let mut sweep = tokio::time::interval(SWEEP_EVERY);
    let deadline = loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => connection(stream, &worker, open.clone()),
                Err(error) => {
                    tracing::warn!(%error, "cannot accept a connection");
                    tokio::time::sleep(ACCEPT_REST).await;
                }
            },
            _ = sweep.tick() => worker.pool.sweep(),
            deadline = worker.drain.draining() => break deadline,
        }
    };
    drop((listener, open));
    if tokio::time::timeout_at(deadline, all_closed.recv()).await.is_err() {
        tracing::warn!("connections were cut at the drain's deadline");
    }
}
