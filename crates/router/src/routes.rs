//! All routes at one moment, and what outlives it.

pub(crate) mod lower;
pub(crate) mod snapshot;
pub(crate) mod source;
