//! The queue of one route: requests that wait until an endpoint has room for them, and who wakes whom.
//!
//! Which one is next, which is refused and what is room is decided by `core::admit`. Must not know: routes, plans'
//! execution, HTTP.

pub(crate) mod admission;
pub(crate) mod place;
