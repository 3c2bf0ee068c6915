//! `qoe-sim`: a vLLM-compatible server that computes nothing.
//!
//! It owns the engine model (pure: [`Engine`], [`BlockPool`], [`Profile`]) and a server around it
//! ([`Server`]) that speaks vLLM 0.32's wire: streams, errors, metrics, and the NIXL pull handoff
//! with leases. Its text depends on the prompt alone, so every instance writes the same.
//!
//! It must not know the router: it is held against captures of real vLLM, not against what the
//! router expects. The engine model must stay free of clocks and IO, since a virtual-time
//! laboratory drives it too.
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
