//! What a request is, whether it may be served, and which route it belongs to.

pub(crate) mod body;
pub(crate) mod destination;
pub(crate) mod handler;
pub(crate) mod models;
pub(crate) mod surface;
pub(crate) mod understand;
