//! The router: takes OpenAI traffic, parts its phases, and tells what it did.
//!
//! Owns: the listener and its workers, a request's way through them, connections to endpoints, its configuration (a
//! file, or what controllers push), and looking at endpoints' metrics. Decisions are made by `qoe-core`.
//! Must not: know Kubernetes; decide anything that could be decided by a pure function.
//!
//! ```text
//! worker ─ handler ─ surface, intake (analyze; whose is it?)
//!             └ execute ─ plan (core) ─ legs ─ upstream (pool, exchange)
//!                  └ relay ─ ticket ─ record, metrics
//! background ─ config (file → snapshot) or pushed (controllers → snapshot, load → controllers)
//!            └ scrape (endpoints → signals)
//! ```

mod admission;
pub mod args;
mod asked;
mod body;
mod closing;
pub mod config;
mod error;
mod execute;
mod handler;
mod headers;
mod intake;
mod load;
mod memory;
mod metrics;
mod models;
mod multipart;
mod pages;
mod protocol;
mod pushed;
mod record;
mod relay;
mod scrape;
mod server;
mod shared;
mod snapshot;
mod source;
mod stored;
mod surface;
mod ticket;
mod upgrade;
mod upstream;
mod worker;

pub use server::Router;
