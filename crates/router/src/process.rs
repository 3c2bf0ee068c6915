//! The process: its threads, their start and end, its admin pages.

pub(crate) mod background;
pub(crate) mod pages;
pub(crate) mod router;
