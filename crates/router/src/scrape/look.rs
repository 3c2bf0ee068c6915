//! One look at an endpoint.

use qoe_core::endpoint::exposition::EngineMetrics;
use qoe_core::endpoint::scraped::Counters;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::request::analyze::BLOCK_BYTES;

use crate::scrape::models;
use crate::scrape::page::get;
use crate::scrape::rota::ScrapeTarget;
use crate::shared::Shared;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;

/// An endpoint is asked for its models at each look until it has answered, and then at every 30th look: half a minute
/// at the default interval. That is how long an adapter that was loaded meanwhile stays unknown.
const MODELS_EVERY: u32 = 30;

/// What is kept of an endpoint from one look to the next.
#[derive(Default)]
pub(super) struct Known {
    connection: Option<Connection>,
    counters: Counters,
    looks: u32,
    /// The endpoint serves other models than those that were indexed last.
    pub(super) models_changed: bool,
}

/// Looks at an endpoint, and notes in its state what it publishes. Returns whether it has answered with its metrics.
/// What is learned is in `known` even if the look is given up.
pub(super) async fn look(shared: &Shared, target: ScrapeTarget, known: &mut Known) -> bool {
    let ScrapeTarget { endpoint, told_models } = target;
    let ask = endpoint.served().is_none() || known.looks.is_multiple_of(MODELS_EVERY);
    known.looks = known.looks.wrapping_add(1);
    if !told_models && ask {
        look_at_models(shared, &endpoint, known).await;
    }
    let ok = look_at_metrics(shared, &endpoint, known).await.is_ok();
    if ok {
        set_capacity(shared, &endpoint);
    }
    ok
}

/// Notes which models the endpoint serves. One that does not list its models may still publish metrics.
async fn look_at_models(shared: &Shared, endpoint: &EndpointState, known: &mut Known) {
    let page = get(&endpoint.authority, &mut known.connection, "/v1/models").await;
    let Some(served) = models::parse(&page.unwrap_or_default()) else { return };
    if models::same(endpoint.served().as_ref(), &served) {
        return;
    }
    endpoint.set_served(served);
    known.models_changed = true;
    warn_of_other_models(shared, endpoint);
}

async fn look_at_metrics(
    shared: &Shared,
    endpoint: &EndpointState,
    known: &mut Known,
) -> Result<(), UpstreamError> {
    let page = get(&endpoint.authority, &mut known.connection, "/metrics").await?;
    endpoint.scraped(&EngineMetrics::parse(&page), &mut known.counters, shared.now());
    Ok(())
}

/// Tells the routes of an endpoint how many blocks its prefix cache holds, if it publishes that.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates")]
fn set_capacity(shared: &Shared, endpoint: &EndpointState) {
    let Some(tokens) = endpoint.signals.kv_capacity.get(shared.now()) else { return };
    for route in &shared.snapshot.load().routes {
        if route.pool.of_tag(endpoint.tag).is_some() {
            let blocks = tokens.value / route.state.tokens_of(BLOCK_BYTES);
            route.state.memory.prefixes().set_capacity(endpoint.tag, blocks as u32);
        }
    }
}

/// An endpoint that serves none of its route's models gets no request, and nothing else would say why.
fn warn_of_other_models(shared: &Shared, endpoint: &EndpointState) {
    for route in &shared.snapshot.load().routes {
        let wanted = &route.source.spec.models;
        let has_it = route.pool.of_tag(endpoint.tag).is_some();
        if has_it && !wanted.is_empty() && !wanted.iter().any(|model| endpoint.serves(model)) {
            let served = endpoint.served();
            let served = served.iter().flat_map(|served| served.iter());
            let served: Vec<&str> = served.map(|model| &*model.id).collect();
            tracing::warn!(
                route = %route.name,
                endpoint = %endpoint.name,
                ?wanted,
                ?served,
                "the endpoint serves none of its route's models: it gets no requests"
            );
        }
    }
}
