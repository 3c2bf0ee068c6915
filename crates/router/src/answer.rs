//! What goes back to the client.

pub(crate) mod broken;
pub(crate) mod refusal;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod tap;
