//! `qoe-sim`: a vLLM-compatible server that computes nothing.
//!
//! It owns the engine model (pure: [`Engine`], [`BlockPool`], [`Profile`]) and a server around it
//! ([`Server`]) that speaks the HTTP API of vLLM 0.32: streams, errors, metrics, and the NIXL pull handoff
//! with leases. Its text depends on the prompt alone, so every instance writes the same text.
//!
//! It must not know the router: tests compare it with captures of real vLLM, not with what the router expects. The
//! engine model must stay free of clocks and I/O, since the lab drives it in virtual time.
//!
//! ```text
//! http ──▶ driver ──▶ engine ──▶ kv, profile, text
//!   └─▶ side (the KV of another server) ─┘
//! ```

mod app;
mod args;
mod clock;
mod config;
mod driver;
pub mod engine;
mod faults;
mod handoff;
pub mod kv;
pub(crate) mod lock;
mod metrics;
mod outbox;
pub mod profile;
mod server;
mod side;
pub mod stats;
pub(crate) mod stored;
pub mod text;
mod wire;

pub use args::Args;
pub use config::{Config, Role};
pub use engine::Engine;
pub use kv::BlockPool;
pub use profile::Profile;
pub use server::{Server, StartError};
