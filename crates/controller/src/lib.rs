//! The controller: watches pods and routes, and tells routers what to serve on which endpoints.
//!
//! Owns: the watches, the index of what they saw, its translation into states of routes, their publication, status,
//! events, and the lease that says which replica may write.
//! Must not: decide about requests, know of HTTP traffic, or write without the lease. A router goes on without it.
//!
//! ```text
//! watch (pods, routes) ─▶ index ─ fold ─ translate (pure) ─▶ World ─▶ discovery server ═▶ routers
//!                            │                                             │ answers, load
//!                            └──────────▶ status (pure) ◀── registry ◀─────┘
//!                                            └ writer: only with the lease
//! ```

pub mod args;
mod events;
mod fold;
mod hints;
mod index;
mod kube_client;
mod lease;
mod metrics;
mod pages;
mod pod;
mod publish;
mod registry;
mod route;
mod server;
mod sight;
mod status;
mod translate;
mod watch;
mod writer;

pub use kube_client::connect;
pub use server::Controller;

/// The custom resource definition, as YAML.
///
/// # Panics
/// Never: the definition has only what YAML can say.
#[must_use]
pub fn crd() -> String {
    let crd = <qoe_api::QoERoute as kube::CustomResourceExt>::crd();
    serde_saphyr::to_string(&crd).expect("a definition can be written as YAML")
}
