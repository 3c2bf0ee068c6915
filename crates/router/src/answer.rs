//! What goes back to the client: an endpoint's answer as it passes, or the router's own refusal. It uses a request's
//! ticket, failures and connections; it must not know how an endpoint was chosen, or which attempts came before.

pub(crate) mod broken;
mod event_stream;
pub(crate) mod refusal;
pub(crate) mod relay;
pub(crate) mod reply;
pub(crate) mod tap;
