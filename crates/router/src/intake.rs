//! What a request is, whether it may be served, and which route it belongs to.
//!
//! It must not know how a request is served: it hands each one on as a call with a ticket, or answers it here.

pub(crate) mod body;
pub(crate) mod destination;
pub(crate) mod handler;
pub(crate) mod models;
pub(crate) mod surface;
pub(crate) mod understand;
