//! Kept connections to one server, so that the number of connections is the peak of concurrent requests.

use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use crate::client::Client;

/// The idle clients of one server.
#[derive(Debug)]
pub struct Pool {
    address: SocketAddr,
    idle: Mutex<Vec<Client>>,
}

impl Pool {
    /// Creates an empty pool.
    #[must_use]
    pub const fn new(address: SocketAddr) -> Self {
        Self { address, idle: Mutex::new(Vec::new()) }
    }

    /// Returns an idle client, or a new one.
    #[must_use]
    pub fn take(&self) -> Client {
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        idle.unwrap_or_else(|| Client::new(self.address))
    }

    /// Returns a client to the pool after a complete exchange.
    pub fn put(&self, client: Client) {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).push(client);
    }
}
