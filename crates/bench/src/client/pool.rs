//! Kept connections to one server, so that a user costs a connection only at the peak.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use crate::client::Client;

/// Clients of one server that are idle.
#[derive(Debug)]
pub struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<Client>>,
}

impl Pool {
    /// No clients yet.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::new(Vec::new()) }
    }

    /// An idle client, or a new one.
    #[must_use]
    pub fn take(&self) -> Client {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Client::new(self.address))
    }

    /// A client whose exchange has ended well.
    pub fn put(&self, client: Client) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
}
