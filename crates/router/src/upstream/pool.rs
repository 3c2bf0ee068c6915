//! Idle connections of one worker, by endpoint. No locks: nobody else sees them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::Instant;

use crate::upstream::connection::Connection;

/// A connection that was idle for longer is not used again. uvicorn, under vLLM, closes idle connections at 5 s
/// (`--timeout-keep-alive`); at 4 s a second is left for a request to arrive. At double, requests would meet
/// connections that are just being closed, and be sent twice; at half, more connections would be opened for nothing.
const MAX_IDLE: Duration = Duration::from_secs(4);
/// Idle connections kept for one endpoint.
const MAX_PER_ENDPOINT: usize = 512;

struct Idle<S: AsyncRead + AsyncWrite + Unpin> {
    connection: Connection<S>,
    since: Instant,
}

/// One worker's idle connections over byte streams `S`. The connection that was used last is taken first, so that the
/// others grow old and are closed.
pub(crate) struct Pool<S = TcpStream>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    idle: RefCell<HashMap<Arc<str>, Vec<Idle<S>>>>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Default for Pool<S> {
    fn default() -> Self {
        Self { idle: RefCell::default() }
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Pool<S> {
    /// An idle connection to `authority` that is still open, if there is one.
    pub(crate) fn take(&self, authority: &str) -> Option<Connection<S>> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(authority)?;
        while let Some(Idle { mut connection, since }) = connections.pop() {
            if since.elapsed() > MAX_IDLE {
                // Those below it have been idle for even longer.
                connections.clear();
                return None;
            }
            // A close that has arrived is seen only when the connection is polled.
            connection.drive(&mut Context::from_waker(Waker::noop()));
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request to `authority`.
    pub(crate) fn put(&self, authority: &Arc<str>, connection: Connection<S>) {
        let mut idle = self.idle.borrow_mut();
        let idled = Idle { connection, since: Instant::now() };
        match idle.get_mut(authority) {
            Some(connections) if connections.len() < MAX_PER_ENDPOINT => connections.push(idled),
            Some(_) => {}
            None => drop(idle.insert(Arc::clone(authority), vec![idled])),
        }
    }

    /// Closes the connections that have been idle for too long.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        for connections in idle.values_mut() {
            connections.retain(|idle| idle.since.elapsed() <= MAX_IDLE);
        }
        idle.retain(|_, connections| !connections.is_empty());
    }
}

#[cfg(test)]
mod tests;
