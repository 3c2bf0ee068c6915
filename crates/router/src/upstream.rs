//! Connections to endpoints.

pub(crate) mod connection;
pub(crate) mod error;
pub(crate) mod exchange;
pub(crate) mod gate;
pub(crate) mod leg;
pub(crate) mod pool;
