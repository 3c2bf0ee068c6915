//! What Prometheus sees. Labels are enums, or names bounded by configuration: never what a client sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use arc_swap::ArcSwap;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};
use qoe_core::endpoint::state::EndpointState;

use crate::observe::families;
use crate::observe::labels::Labels;
use crate::observe::route_metrics::RouteMetrics;
use crate::observe::series::InUse;

/// All metrics of the router.
pub(crate) struct Metrics {
    /// The routes and endpoints that have series.
    in_use: Arc<ArcSwap<InUse>>,
    refused: Family<Labels<1>, Counter>,
    config_reloads: Family<Labels<1>, Counter>,
    scrapes: Family<Labels<1>, Counter>,
    /// The version of the configuration in use.
    pub(crate) config_version: Gauge,
    /// Seconds since any controller was heard from.
    pub(crate) snapshot_age: Gauge<f64, AtomicU64>,
    /// The number of connected controllers.
    pub(crate) controllers: Gauge,
}

impl Metrics {
    /// Makes the metrics and registers them under the prefix `qoe_`.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let registry = registry.sub_registry_with_prefix("qoe");
        let metrics = Self {
            in_use: Arc::default(),
            refused: Family::default(),
            config_reloads: Family::default(),
            scrapes: Family::default(),
            config_version: Gauge::default(),
            snapshot_age: Gauge::default(),
            controllers: Gauge::default(),
        };
        families::register(registry, &metrics.in_use);
        let help = "Requests refused before a route was found for them";
        registry.register("refused", help, metrics.refused.clone());
        let help = "Configurations read, by outcome";
        registry.register("config_reloads", help, metrics.config_reloads.clone());
        let help = "Scrapes of endpoints' metrics, by outcome";
        registry.register("scrapes", help, metrics.scrapes.clone());
        let help = "Version of the configuration in use";
        registry.register("config_version", help, metrics.config_version.clone());
        metrics
    }

    /// Registers what only a router with controllers has.
    pub(crate) fn register_pushed(&self, registry: &mut Registry) {
        let registry = registry.sub_registry_with_prefix("qoe");
        let help = "Seconds since any controller was heard from";
        registry.register_with_unit("snapshot_age", help, Unit::Seconds, self.snapshot_age.clone());
        registry.register("controllers", "Connected controllers", self.controllers.clone());
    }

    /// From now on these routes and endpoints have series, and no others: requests that outlive their route or
    /// endpoint bring no series back.
    pub(crate) fn put_into_use(
        &self,
        routes: Vec<Arc<RouteMetrics>>,
        endpoints: &[Arc<EndpointState>],
    ) {
        let mut by_name: BTreeMap<_, Vec<_>> = BTreeMap::new();
        for endpoint in endpoints {
            by_name.entry(Arc::clone(&endpoint.name)).or_default().push(Arc::clone(endpoint));
        }
        for route in &routes {
            route.failures.retain(|key| by_name.contains_key(&key.endpoint));
        }
        self.in_use.store(Arc::new(InUse { routes, endpoints: by_name }));
    }

    /// Counts a request that was answered before a route was found for it.
    pub(crate) fn refused(&self, failure: &'static str) {
        self.refused.get_or_create(&[("failure", failure.into())]).inc();
    }

    /// Counts a configuration that was read.
    pub(crate) fn config_read(&self, outcome: &'static str) {
        self.config_reloads.get_or_create(&[("outcome", outcome.into())]).inc();
    }

    /// Counts a scrape of an endpoint.
    pub(crate) fn scraped(&self, ok: bool) {
        let outcome = if ok { "success" } else { "failure" };
        self.scrapes.get_or_create(&[("outcome", outcome.into())]).inc();
    }
}

#[cfg(test)]
mod tests;
