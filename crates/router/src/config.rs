//! Where the configuration comes from: a file, or controllers that push it, kept on disk.

mod disk;
pub mod file;
pub(crate) mod pushed;
pub(crate) mod report;
