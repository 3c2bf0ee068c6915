//! Traces of real traffic, as published: the LLM traces of Azure and of Mooncake, plain or gzip.
//!
//! The first line of a file determines its format. Reading gives rows, and a [`Replay`] converts them to arrivals.

pub mod azure;
pub mod mooncake;
pub mod replay;
pub mod row;
pub mod rows;
