//! The admin port: an HTTP/1.1 server on a thread of its own.
//!
//! The thread and its runtime are apart from the traffic, so that probes are answered however busy the workers are.
//! Every connection serves one request and then ends, in bounded time; where too many are open, the oldest gives
//! way, so that stuck clients cannot keep a probe out.

mod page;
mod response;
mod server;

use std::collections::BTreeMap;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

pub use response::{AdminResponse, Query};

use crate::readiness::Readiness;

type Handler = Box<dyn Fn(&Query) -> AdminResponse + Send + Sync>;

/// An admin server that does not listen yet.
///
/// It answers `/live`, `/ready`, `/metrics`, `/` with a list of them all, and what [`Admin::route`] adds.
pub struct Admin {
    readiness: Readiness,
    registry: Arc<Registry>,
    routes: BTreeMap<&'static str, Handler>,
}

/// An admin server that listens; it ends when this is dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// Serves this readiness and these metrics.
    #[must_use]
    pub fn new(readiness: Readiness, registry: Arc<Registry>) -> Self {
        Self { readiness, registry, routes: BTreeMap::new() }
    }

    /// Answers `path` by `handler`. It runs on the admin thread: it must not wait for anything.
    #[must_use]
    pub fn route(
        mut self,
        path: &'static str,
        handler: impl Fn(&Query) -> AdminResponse + Send + Sync + 'static,
    ) -> Self {
        self.routes.insert(path, Box::new(handler));
        self
    }

    /// Listens on `address`, whose port may be 0, and starts the thread.
    ///
    /// # Errors
    /// The address cannot be listened on, or the system gives no thread.
    pub fn serve(self, address: SocketAddr) -> io::Result<AdminServer> {
        let listener = TcpListener::bind(address)?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::Builder::new().name("admin".to_owned()).spawn(move || {
            runtime.block_on(server::run(listener, Arc::new(self), stopped));
        })?;
        Ok(AdminServer { address, stop: Some(stop), thread: Some(thread) })
    }
}

impl AdminServer {
    /// The address it listens on, with its real port.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for AdminServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the admin thread had panicked");
        }
    }
}

#[cfg(test)]
mod tests;
