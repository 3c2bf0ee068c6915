//! How fast an endpoint is, as models that are learned from its answers, and the work that waits before it.
//!
//! Three costs in seconds, each linear in a few features:
//! - a prompt: `a + b·uncached + c·uncached·(cached + uncached/2) + d·streams beside it`,
//! - the time between tokens: `d + e·streams + f·KV tokens`, while no prompt is read beside them,
//! - the transfer of a KV cache: `g + h·tokens`.
//!
//! An endpoint that has answered too few requests is taken to be like the others of its route, and those like the
//! prior: an 8B model on a current GPU. The prior only has to be good enough for the first handful of requests.
//!
//! Must not know: endpoints' names or roles, plans, requests.

pub mod busy_time;
pub mod models;
pub mod pace;
pub mod virtual_queue;
pub mod work;
