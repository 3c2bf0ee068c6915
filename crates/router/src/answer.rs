//! What goes back to the client.

pub(crate) mod relay;
pub(crate) mod reply;
