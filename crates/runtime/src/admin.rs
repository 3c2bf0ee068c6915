//! The admin port: an HTTP/1.1 server on a thread of its own.
//!
//! The thread and its runtime are apart from the traffic, so that probes are answered however busy the workers are.
//! Every connection serves one request and then ends, in bounded time. When too many are open, the oldest is closed,
//! so that stuck clients cannot keep a probe out. It must not know what the process does.

mod pages;
mod response;
mod server;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::thread::JoinHandle;

use prometheus_client::registry::Registry;
use tokio::sync::oneshot;

pub use response::{AdminResponse, Query};

use crate::admin::pages::Pages;
use crate::readiness::Readiness;

/// An admin server that does not listen yet.
///
/// It serves `/live`, `/ready`, `/metrics`, the pages that [`Admin::route`] adds, and `/`, which lists them all.
pub struct Admin(Pages);

/// An admin server that listens; it ends when this is dropped.
#[derive(Debug)]
pub struct AdminServer {
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Admin {
    /// An admin server for this readiness and these metrics.
    #[must_use]
    pub fn new(readiness: Readiness, registry: Arc<Registry>) -> Self {
        Self(Pages::new(readiness, registry))
    }

    /// Adds a page. `handler` runs on the admin thread, so it must not block.
    #[must_use]
    pub fn route(
        mut self,
        path: &'static str,
        handler: impl Fn(&Query) -> AdminResponse + Send + Sync + 'static,
    ) -> Self {
        self.0.add(path, Box::new(handler));
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
            runtime.block_on(server::run(listener, Arc::new(self.0), stopped));
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
            tracing::error!("the admin thread panicked");
        }
    }
}

#[cfg(test)]
mod tests;
