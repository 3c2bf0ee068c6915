//! The pages of the admin port: what is published, and which routers serve it.

use std::sync::Arc;

use qoe_runtime::admin::{Admin, AdminResponse, Query};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::index::{Acceptance, View};
use crate::registry::Registry;

/// Adds `/config_dump` and `/debug/routers`.
pub(crate) fn add(
    admin: Admin,
    view: watch::Receiver<Arc<View>>,
    registry: Arc<Registry>,
) -> Admin {
    let latest = view.clone();
    admin
        .route("/config_dump", move |_: &Query| {
            let view = Arc::clone(&view.borrow());
            AdminResponse::json(&dump(&view))
        })
        .route("/debug/routers", move |_: &Query| {
            let view = Arc::clone(&latest.borrow());
            let routes = states(&view);
            AdminResponse::json(&json!({"routes": routes, "routers": registry.page()}))
        })
}

/// The nonce of each route's latest state, with which routers answer it.
fn states(view: &View) -> Value {
    view.routes
        .iter()
        .map(|(key, (_, outcome))| {
            let endpoints = outcome.translation.as_ref().map(|t| t.config.endpoints.len());
            (key.to_string(), json!({"nonce": outcome.nonce, "endpoints": endpoints}))
        })
        .collect::<serde_json::Map<_, _>>()
        .into()
}

fn dump(view: &View) -> Value {
    let routes: Vec<Value> = view
        .routes
        .iter()
        .map(|(key, (route, outcome))| {
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
                "name": key.to_string(),
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
