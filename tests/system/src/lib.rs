//! What the system tests share: the real router in front of real simulators, or of servers that misbehave.
//!
//! Owns: starting a router with a configuration file of its own, a client that can leave, servers of a few lines for
//! what a simulator does not do (break off, say nothing, write for ever), and waiting for what must come.
//! Must not: know the router's inside. All that is asserted is what a client, an endpoint or an operator can see.
//!
//! ```text
//! client ─▶ proxy (qoe-router, its own threads) ─▶ simulators, or a tap before one, or a backend
//! ```

pub mod backend;
pub mod bodies;
pub mod client;
pub mod proxy;
pub mod tap;
pub mod wait;
