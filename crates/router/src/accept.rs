//! A socket becomes HTTP requests: listeners, the HTTP version of each connection, its limits and its end.
//!
//! It must not know what a request asks for: it hands each one to [`crate::intake`] and carries the answer out.

pub(crate) mod connection;
pub(crate) mod driven;
pub(crate) mod listener;
pub(crate) mod protocol;
pub(crate) mod reads;
pub(crate) mod served;
pub(crate) mod state;
pub(crate) mod sweep;
