//! A running server, from outside: real sockets on free ports, an engine without delay.
#![expect(clippy::unwrap_used, reason = "a test that fails may panic anywhere")]

mod common;
mod faults;
mod handoff;
mod surface;
mod wire;
