//! The pages of the admin port, and the one that a request gets. It must not know how requests come.

use std::collections::BTreeMap;
use std::sync::Arc;

use http::{Method, StatusCode, Uri};
use prometheus_client::registry::Registry;
use serde_json::json;

use crate::admin::response::{AdminResponse, Query};
use crate::readiness::Readiness;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OWN_PAGES: [&str; 3] = ["/live", "/ready", "/metrics"];

type Handler = Box<dyn Fn(&Query) -> AdminResponse + Send + Sync>;

/// Every page of one process: those that all processes have, and its own by their paths.
pub(super) struct Pages {
    readiness: Readiness,
    registry: Arc<Registry>,
    handlers: BTreeMap<&'static str, Handler>,
}

impl Pages {
    pub(super) const fn new(readiness: Readiness, registry: Arc<Registry>) -> Self {
        Self { readiness, registry, handlers: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, path: &'static str, handler: Handler) {
        self.handlers.insert(path, handler);
    }

    /// The answer to one request.
    pub(super) fn answer(&self, method: &Method, uri: &Uri) -> AdminResponse {
        if method != Method::GET && method != Method::HEAD {
            let message = "the admin port is read-only: use GET or HEAD";
            return AdminResponse::error(StatusCode::METHOD_NOT_ALLOWED, message);
        }
        match uri.path() {
            "/" => self.index(),
            "/live" => AdminResponse::json(&json!({ "live": true })),
            "/ready" => self.ready(),
            "/metrics" => self.metrics(),
            path => match self.handlers.get(path) {
                Some(handler) => handler(&Query::new(uri.query())),
                None => AdminResponse::error(
                    StatusCode::NOT_FOUND,
                    "no such page: GET / lists all pages",
                ),
            },
        }
    }

    fn index(&self) -> AdminResponse {
        let mut pages: Vec<_> =
            OWN_PAGES.into_iter().chain(self.handlers.keys().copied()).collect();
        pages.sort_unstable();
        AdminResponse::json(&json!({ "pages": pages }))
    }

    fn ready(&self) -> AdminResponse {
        // Read once: between two reads the answer could change.
        let pending = self.readiness.pending();
        let ready = pending.is_empty();
        let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        AdminResponse::json_with(status, &json!({ "ready": ready, "pending": pending }))
    }

    fn metrics(&self) -> AdminResponse {
        let mut text = String::new();
        match prometheus_client::encoding::text::encode(&mut text, &self.registry) {
            Ok(()) => AdminResponse::ok(OPEN_METRICS, text),
            Err(error) => {
                tracing::error!(%error, "cannot encode the metrics");
                let message = "the metrics cannot be encoded: see the log";
                AdminResponse::error(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}
