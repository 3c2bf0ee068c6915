//! How routers learn their routes from controllers, and controllers what routers see.
//!
//! Owns: the protocol (`proto/discovery.proto`), what is valid in it ([`RouteConfig`]), which of two states is newer
//! ([`Holdings`]), the controller's end ([`server`]), the router's end ([`client`]), and mutual TLS between them
//! ([`tls`]).
//! Must not: know Kubernetes, or what a router does with a route. Both ends are given what they serve by traits.
//!
//! ```text
//! controller: World ─ watch ─▶ server ═══ one stream per router and controller ═══ client ─▶ Subscriber: router
//!             Routers ◀─ answers, load ─┘                                      └─ Holdings: newer or older?
//! ```

pub mod client;
mod config;
mod holdings;
pub mod saved;
pub mod server;
pub mod tls;
mod version;

pub use config::{EndpointConfig, InvalidRoute, RouteConfig, of_one_host, phase_rules};
pub use holdings::{Consequences, Holdings, Origin, Verdict};
pub use version::{Progress, Version, Versions};

/// The messages of the protocol, made from `proto/discovery.proto`.
pub mod proto {
    #![expect(missing_docs, reason = "the protocol file documents them")]
    #![allow(clippy::all, clippy::unwrap_used, unreachable_pub, reason = "generated")]
    tonic::include_proto!("qoe.discovery.v1alpha1");
}

/// Largest message that is read: 10,000 endpoints take some 1.5 MB.
const MAX_MESSAGE: usize = 64 << 20;
/// Bytes in flight on a stream: a large route is not to wait for round trips.
const WINDOW: u32 = 4 << 20;
