//! Requests that wait for room.

pub(crate) mod admission;
pub(crate) mod place;
