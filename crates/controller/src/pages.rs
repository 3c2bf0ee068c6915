//! The admin port's pages: what is published, and who serves by it.

use std::sync::Arc;

use qoe_runtime::admin::{Admin, AdminResponse, Query};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::index::{Acceptance, View};
use crate::registry::Registry;
use crate::writer::by_name;

/// Adds the controller's pages.
pub(crate) fn add(
    admin: Admin,
    view: watch::Receiver<Arc<View>>,
    registry: Arc<Registry>,
) -> Admin {
    admin
        .route("/config_dump", move |_: &Query| AdminResponse::json(&dump(&view.borrow())))
        .route("/debug/routers", move |_: &Query| AdminResponse::json(&registry.page()))
}

fn dump(view: &View) -> Value {
    let routes: Vec<Value> = by_name(view)
        .into_iter()
        .map(|(name, (route, outcome))| {
            let config = outcome.translation.as_ref().map(|translation| &translation.config);
            let endpoints = config.map(|config| {
                let endpoint = |endpoint: &qoe_discovery::EndpointConfig| {
                    json!({
                        "name": endpoint.name,
                        "address": endpoint.address.to_string(),
                        "role": endpoint.role,
                        "roleSource": endpoint.role_source,
                        "connector": endpoint.connector,
                        "group": endpoint.group,
                    })
                };
                config.endpoints.iter().map(endpoint).collect::<Vec<_>>()
            });
            json!({
                "name": name,
                "generation": route.generation,
                "nonce": outcome.nonce,
                "accepted": !matches!(
                    outcome.acceptance,
                    Acceptance::Invalid(_) | Acceptance::Conflict(_)
                ),
                "spec": config.map(|config| &config.spec),
                "endpoints": endpoints,
            })
        })
        .collect();
    json!({"pods": view.pods, "routes": routes})
}
