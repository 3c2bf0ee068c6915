//! What an endpoint's answer says: events of a stream, usage, KV transfer parameters.

pub mod sse;
pub mod usage;
