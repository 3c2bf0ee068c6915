//! Traces of real traffic, as published: the LLM traces of Azure and of Mooncake, plain or gzip.
//!
//! Which one a file is, its first line says. Reading gives rows; a [`Replay`] makes arrivals of them.

pub mod azure;
pub mod mooncake;
pub mod replay;
pub mod row;
pub mod rows;
