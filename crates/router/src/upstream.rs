//! Connections to endpoints.

pub(crate) mod connection;
pub(crate) mod exchange;
pub(crate) mod gate;
pub(crate) mod pool;
