//! A socket becomes HTTP requests.

pub(crate) mod closing;
pub(crate) mod connection;
pub(crate) mod listener;
pub(crate) mod protocol;
