//! What every process of the product needs: logs, an admin port, readiness, drain, and the signal to end.
//!
//! Owns: the log arguments and their subscriber ([`telemetry`]), named readiness ([`readiness`]), the two phases of
//! a shutdown ([`drain`], [`shutdown`]), and the admin server on its own thread ([`admin`]).
//! Must not: know what the process does. Metrics, debug pages and the order of a shutdown are given by the binaries.

pub mod admin;
pub mod drain;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;
