//! What is recorded of requests and endpoints: metrics, records, sums for controllers.

pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod record;
