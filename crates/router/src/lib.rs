//! The router: serves the OpenAI API, disaggregates prefill and decode, and records what it did.
//!
//! Owns: the listeners and their workers, a request's way through them, connections to endpoints, the configuration (a
//! file, or what controllers push), and the scraping of endpoints. Decisions are made by `qoe-core`.
//! Must not: know Kubernetes; decide anything that a pure function could decide.
//!
//! ARCHITECTURE.md draws a request's way through the folders.

mod accept;
mod answer;
pub mod args;
mod clock;
pub mod config;
mod execute;
mod failure;
mod headers;
mod intake;
mod observe;
mod process;
mod queue;
mod routes;
mod scrape;
mod shared;
mod ticket;
mod upstream;
pub(crate) mod worker;

pub use process::router::Router;
