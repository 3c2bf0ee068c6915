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

/// The host's name; in a cluster, the pod's.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}
