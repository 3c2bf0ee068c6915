//! What an endpoint's answer says: events of a stream, usage, KV transfer parameters.
//!
//! Must not know: requests, plans, or what is done with an answer.

pub mod sse;
pub mod usage;
