//! When a request may begin: the queue of one route, and which requests are refused when there is no room.
//!
//! Only decides. The driver makes the plans and wakes what waits. Must not know: threads, endpoints' addresses, HTTP.

pub mod ask;
pub mod queue;
pub mod room;
pub mod shedding;
pub mod step;
