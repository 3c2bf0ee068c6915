//! Every decision of the product, and nothing that acts on one.
//!
//! Must not: do IO, spawn, read a clock or an RNG of its own. `now` and `&mut impl Rng` are arguments, so the same
//! code runs in the proxy and in virtual time.
//!
//! ```text
//! request ─▶ admit ─▶ plan ─▶ flight ◀─ response
//!                      │ ▲      │
//!                      │ └ ladder (what failed before the first byte)
//!              endpoint, memory, speed, estimate (what is known of endpoints and of the route)
//! ```

pub mod admit;
pub mod endpoint;
pub mod estimate;
pub mod flight;
pub mod json;
pub mod ladder;
pub mod memory;
pub mod phase;
pub mod plan;
pub mod request;
pub mod response;
pub mod scale;
pub mod speed;
pub mod target;
