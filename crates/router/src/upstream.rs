//! Connections to endpoints: opened, driven, kept idle, and read. Nothing here knows what a request means, which
//! route it belongs to, or who asked for it.

pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod exchange;
mod gate;
pub(crate) mod leg;
pub(crate) mod pool;
pub(crate) mod request;

#[cfg(test)]
pub(crate) mod fake;
