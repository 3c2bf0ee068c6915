//! All routes at one moment, and what outlives it.

pub(crate) mod lower;
pub(crate) mod no_route;
pub(crate) mod route;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod spec;
pub(crate) mod state;
