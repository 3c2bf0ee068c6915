//! Which page a request gets.

use http::{Method, StatusCode, Uri};
use serde_json::json;

use super::Admin;
use super::response::{AdminResponse, Query};

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const OWN_PAGES: [&str; 3] = ["/live", "/ready", "/metrics"];

impl Admin {
    /// The answer to one request.
    pub(super) fn answer(&self, method: &Method, uri: &Uri) -> AdminResponse {
        if method != Method::GET && method != Method::HEAD {
            let message = "the admin port only reads: use GET or HEAD";
            return AdminResponse::error(StatusCode::METHOD_NOT_ALLOWED, message);
        }
        match uri.path() {
            "/" => self.index(),
            "/live" => AdminResponse::json(&json!({ "live": true })),
            "/ready" => self.ready(),
            "/metrics" => self.metrics(),
            path => match self.routes.get(path) {
                Some(handler) => handler(&Query::new(uri.query())),
                None => AdminResponse::error(
                    StatusCode::NOT_FOUND,
                    "no such page: GET / lists those there are",
                ),
            },
        }
    }

    fn index(&self) -> AdminResponse {
        let mut pages: Vec<_> = OWN_PAGES.into_iter().chain(self.routes.keys().copied()).collect();
        pages.sort_unstable();
        AdminResponse::json(&json!({ "pages": pages }))
    }

    fn ready(&self) -> AdminResponse {
        // Asked once: between two questions the answer could change.
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
                tracing::error!(%error, "metrics could not be written");
                let message = "metrics could not be written: see the log";
                AdminResponse::error(StatusCode::INTERNAL_SERVER_ERROR, message)
            }
        }
    }
}
