//! What every process of the product needs: logs, an admin port, readiness, and an orderly shutdown.
//!
//! Owns: the log arguments and their subscriber ([`telemetry`]), named readiness ([`readiness`]), the signals that ask
//! for a shutdown and the drain that follows ([`shutdown`], [`drain`]), and the admin server on its own thread
//! ([`admin`]).
//! Must not: know what the process does. Its metrics, its debug pages and the order of its shutdown come from it.

pub mod admin;
pub mod drain;
pub mod readiness;
pub mod shutdown;
pub mod telemetry;

/// The host name; in a cluster, the pod's name.
#[must_use]
pub fn host_name() -> String {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let name = name.trim();
    if name.is_empty() { "unknown".to_owned() } else { name.to_owned() }
}
