//! What is recorded of requests and endpoints: metrics, records, sums for controllers.

pub(crate) mod labels;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod record;
pub(crate) mod ring;
pub(crate) mod route_metrics;
