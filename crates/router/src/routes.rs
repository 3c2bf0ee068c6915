//! All routes at one moment, and the state of each that outlives its configuration.
//!
//! A snapshot is built without touching what serves now, and swapped in whole. It must not know requests, nor how
//! failures are answered.

pub(crate) mod effects;
pub(crate) mod lower;
mod model_index;
pub(crate) mod no_route;
pub(crate) mod route;
pub(crate) mod snapshot;
pub(crate) mod source;
pub(crate) mod spec;
pub(crate) mod state;
