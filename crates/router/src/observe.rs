//! What the router records of requests and endpoints, for Prometheus, the admin pages, the log and the controllers.
//!
//! Workers write into shards of their own, and only readers pay for the sum. It must not know routes, queues or
//! connections: they hold the instruments, it only reads them.

mod families;
pub(crate) mod labels;
pub(crate) mod load;
pub(crate) mod metrics;
pub(crate) mod record;
pub(crate) mod ring;
pub(crate) mod route_metrics;
mod series;
pub(crate) mod sharded;
