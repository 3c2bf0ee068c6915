//! The `QoERoute` type, and the file that configures a stand-alone router.
//!
//! Owns: the route's spec with its schema, defaults and rules ([`QoERouteSpec`]), the rules in code
//! ([`QoERouteSpec::validate`]), and the reader of the stand-alone file ([`standalone::load`]). With the feature
//! `crd` also the Kubernetes custom resource around the spec.
//! Must not: do I/O, keep state, or decide about requests. The router converts a spec into its own types; a spec that
//! passed `load` or `validate` needs no further checks.

mod autoscaling;
#[cfg(feature = "crd")]
pub mod crd;
mod limits;
mod path;
mod policy;
mod port;
mod route;
mod schema;
mod slo;
pub mod standalone;
mod validate;

pub use autoscaling::{Autoscaling, ReplicaBounds};
pub use limits::{Headers, Limits, Timeouts};
pub use path::{FieldPath, Segment};
pub use policy::{
    DecodingWeights, Policy, PolicyType, Predictive, PrefillWeights, References, Weights,
};
pub use port::Port;
#[cfg(feature = "crd")]
pub use route::QoERoute;
pub use route::{
    Connector, DEFAULT_CLASS, Endpoints, Handoff, HandoffMode, PhaseRules, QoERouteSpec, Selector,
};
pub use slo::{OnUnattainable, Slo, SloByPriority, SloOverride};
pub use validate::Violation;

/// API group of the custom resource and of the documents in a stand-alone file.
pub const GROUP: &str = "qoe-router.io";
/// The API version that this release reads.
pub const VERSION: &str = "v1alpha1";
/// The `apiVersion` of every document: group and version.
pub const API_VERSION: &str = "qoe-router.io/v1alpha1";
