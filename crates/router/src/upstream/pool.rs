//! Idle connections of one worker, by endpoint. No locks: nobody else sees them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::{Duration, Instant};

use super::connection::{Connection, UpstreamError};

/// Idle longer than this, a connection is not used again: uvicorn, under vLLM, closes at 5 s, and a request sent
/// into that moment is lost.
const MAX_IDLE: Duration = Duration::from_secs(4);
/// Idle connections kept for one endpoint.
const MAX_PER_ENDPOINT: usize = 512;

struct Idle {
    connection: Connection,
    since: Instant,
}

/// The worker's idle connections, latest used first out.
#[derive(Default)]
pub(crate) struct Pool {
    idle: RefCell<HashMap<Arc<str>, Vec<Idle>>>,
}

impl Pool {
    /// An idle connection that is still open, or a new one.
    pub(crate) async fn take(
        &self,
        authority: &Arc<str>,
        connect_within: Duration,
    ) -> Result<Connection, UpstreamError> {
        match self.take_idle(authority) {
            Some(connection) => Ok(connection),
            None => Connection::open(authority, connect_within).await,
        }
    }

    fn take_idle(&self, authority: &Arc<str>) -> Option<Connection> {
        let mut idle = self.idle.borrow_mut();
        let connections = idle.get_mut(authority)?;
        while let Some(Idle { mut connection, since }) = connections.pop() {
            if since.elapsed() > MAX_IDLE {
                connections.clear();
                return None;
            }
            connection.drive(&mut Context::from_waker(Waker::noop()));
            if connection.is_ready() {
                return Some(connection);
            }
        }
        None
    }

    /// Keeps a connection for the next request.
    pub(crate) fn put(&self, authority: &Arc<str>, connection: Connection) {
        let mut idle = self.idle.borrow_mut();
        let idled = Idle { connection, since: Instant::now() };
        match idle.get_mut(authority) {
            Some(connections) if connections.len() < MAX_PER_ENDPOINT => connections.push(idled),
            Some(_) => {}
            None => drop(idle.insert(Arc::clone(authority), vec![idled])),
        }
    }

    /// Closes what has been idle for too long; called now and then.
    pub(crate) fn sweep(&self) {
        let mut idle = self.idle.borrow_mut();
        for connections in idle.values_mut() {
            connections.retain(|idle| idle.since.elapsed() <= MAX_IDLE);
        }
        idle.retain(|_, connections| !connections.is_empty());
    }
}
