//! The process: its threads, their start and their end, and its admin pages.
//!
//! It must not know how a request is served: it builds what the other folders need, and hands each thread its part.

pub(crate) mod background;
pub(crate) mod pages;
pub(crate) mod router;
