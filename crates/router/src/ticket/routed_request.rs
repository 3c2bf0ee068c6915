//! What a client asked of its route, as far as plans and records need it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use qoe_core::plan::reason::Reason;
use qoe_core::plan::scope::Demand;
use qoe_core::request::analyze::{Analysis, BLOCK_BYTES};

use crate::routes::route::Route;

/// What the client asked.
pub(crate) struct RoutedRequest {
    pub(crate) request_id: HeaderValue,
    pub(crate) api: &'static str,
    pub(crate) prompt_tokens: u64,
    /// Tokens of the answer that are expected.
    pub(crate) output_tokens: f64,
    /// Its answer is made of tokens, so that the route's targets apply to it.
    pub(crate) generates: bool,
    /// Hashes of the blocks of its prompt, for policies that look for them in prefix caches.
    pub(crate) blocks: Box<[u64]>,
    /// Tokens of one block.
    pub(crate) block_tokens: f64,
    pub(crate) analysis: Arc<Analysis>,
}

impl RoutedRequest {
    /// A request for tokens on this route.
    pub(crate) fn new(
        request_id: &HeaderValue,
        api: &'static str,
        route: &Route,
        analysis: &Arc<Analysis>,
        body: &[u8],
    ) -> Self {
        let prompt_tokens = route.state.prompt_tokens(analysis);
        let Analysis { expected_output_tokens: said, max_tokens: limit, .. } = **analysis;
        let blocks = match route.policy.uses_prefix_caches() {
            true => analysis.prefix_blocks(body),
            false => Box::default(),
        };
        Self {
            request_id: request_id.clone(),
            api,
            prompt_tokens,
            generates: true,
            output_tokens: route.state.memory.lengths.expected(prompt_tokens, said, limit),
            blocks,
            block_tokens: route.state.tokens_of(BLOCK_BYTES),
            analysis: Arc::clone(analysis),
        }
    }

    /// What planning on its route needs to know of it, after it `waited` for this long.
    pub(crate) fn demand(&self, route: &Route, waited: Duration) -> Demand<'_> {
        Demand {
            model: self.analysis.model.as_deref(),
            phase: self.analysis.phase,
            prompt_tokens: self.prompt_tokens,
            expected_output_tokens: self.analysis.expected_output_tokens,
            output_tokens: self.output_tokens,
            blocks: &self.blocks,
            block_tokens: self.block_tokens,
            target: route.target(&self.analysis),
            waited,
            whole: self.analysis.whole.map(Reason::Whole),
        }
    }
}
