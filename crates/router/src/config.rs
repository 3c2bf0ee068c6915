//! The source of routes: a file, or controllers that push them, kept on disk. It turns both into route sources, and
//! reports load to controllers. It must not know requests.

mod disk;
pub mod file;
pub(crate) mod pushed;
pub(crate) mod report;
