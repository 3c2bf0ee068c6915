//! The configuration and endpoints that requests are served by: immutable, swapped whole.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use qoe_core::admit::queue::OnUnattainable;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::{EndpointState, Served};
use qoe_core::flight::qoe::Target;
use qoe_core::memory::Memory;
use qoe_core::memory::budget::Budget;
use qoe_core::plan::HandoffRule;
use qoe_core::plan::policy::Policy;
use qoe_core::request::analyze::{Analysis, HeaderRules, Priority};

use crate::failure::{Failure, known_models};
use crate::observe::load::LoadSums;
use crate::observe::metrics::{Metrics, RouteMetrics};
use crate::queue::admission::Admission;
use crate::routes::source::RouteSource;

/// All routes and endpoints at one moment.
#[derive(Default)]
pub(crate) struct Snapshot {
    /// Counts configurations, from 1; 0 is the empty one before the first.
    pub(crate) version: u64,
    /// The routes; of two that could serve a request, the first does.
    pub(crate) routes: Vec<Arc<Route>>,
    /// The endpoints of all routes, each once.
    pub(crate) endpoints: Vec<Arc<EndpointState>>,
    /// Names of endpoints whose models the configuration tells.
    pub(crate) told_models: HashSet<Arc<str>>,
    pub(super) by_model: HashMap<String, usize>,
}

/// One route, ready to serve.
pub(crate) struct Route {
    pub(crate) name: Arc<str>,
    /// The names clients send; empty: whatever the endpoints serve.
    pub(crate) models: Vec<String>,
    pub(crate) pool: Pool,
    pub(crate) policy: Policy,
    pub(crate) handoff: HandoffRule,
    pub(crate) headers: HeaderRules,
    pub(crate) targets: Targets,
    pub(crate) timeouts: Timeouts,
    pub(crate) max_body_bytes: usize,
    /// 0: no limit.
    pub(crate) max_in_flight: u32,
    /// Requests that may wait; 0: none.
    pub(crate) max_queued: u32,
    /// What becomes of those that cannot be in time any more.
    pub(crate) on_unattainable: OnUnattainable,
    pub(crate) allow_admin_paths: Vec<String>,
    /// What outlives a reload.
    pub(crate) state: Arc<RouteState>,
    /// What it was made of.
    pub(crate) source: Arc<RouteSource>,
}

/// The promise, by priority.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Targets {
    pub(crate) high: Target,
    pub(crate) medium: Target,
    pub(crate) low: Target,
}

/// How long the router waits for endpoints.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Timeouts {
    pub(crate) connect: Duration,
    pub(crate) first_token: Duration,
    pub(crate) prefill: Duration,
    pub(crate) idle: Duration,
    pub(crate) answer: Duration,
}

/// The live state of a route.
pub(crate) struct RouteState {
    pub(crate) memory: Memory,
    pub(crate) budget: Budget,
    /// Requests that have begun and not ended; those that wait are not among them.
    pub(crate) in_flight: AtomicU32,
    pub(crate) admission: Admission,
    pub(crate) metrics: RouteMetrics,
    /// What controllers are told.
    pub(crate) load: LoadSums,
    bytes_per_token: AtomicU64,
}

/// Bytes of a prompt for one token, before any endpoint has counted: English text with common tokenizers.
const BYTES_PER_TOKEN: f64 = 4.0;
/// How much one counted prompt moves the estimate.
const BYTES_PER_TOKEN_GAIN: f64 = 0.1;

impl RouteState {
    pub(crate) fn new(metrics: RouteMetrics, max_queued: usize) -> Self {
        Self {
            metrics,
            load: LoadSums::default(),
            memory: Memory::default(),
            budget: Budget::default(),
            in_flight: AtomicU32::new(0),
            admission: Admission::new(max_queued),
            bytes_per_token: AtomicU64::new(BYTES_PER_TOKEN.to_bits()),
        }
    }

    /// Prompt tokens of a request: counted where the client sent tokens, else estimated from the bytes.
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "an estimate of at most some millions"
    )]
    pub(crate) fn prompt_tokens(&self, analysis: &Analysis) -> u64 {
        if let Some(exact) = analysis.prompt_tokens_exact {
            return u64::from(exact);
        }
        self.tokens_of(analysis.prompt_bytes).ceil() as u64
    }

    /// Tokens in so many bytes of a prompt, by estimate.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn tokens_of(&self, bytes: usize) -> f64 {
        bytes as f64 / f64::from_bits(self.bytes_per_token.load(Ordering::Relaxed))
    }

    /// An endpoint counted the tokens of a prompt of so many bytes. Estimates learn from it; a lost race loses one
    /// sample.
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    pub(crate) fn counted(&self, bytes: usize, tokens: u64) {
        if bytes < 256 || tokens == 0 {
            return; // The chat template's own tokens would weigh too much.
        }
        let seen = (bytes as f64 / tokens as f64).clamp(0.5, 16.0);
        let old = f64::from_bits(self.bytes_per_token.load(Ordering::Relaxed));
        let new = old + BYTES_PER_TOKEN_GAIN * (seen - old);
        self.bytes_per_token.store(new.to_bits(), Ordering::Relaxed);
    }
}

impl Route {
    /// The promise to one request: its own word first, then its priority's.
    pub(crate) fn target(&self, analysis: &Analysis) -> Target {
        let Target { ttft, itl } = match analysis.priority {
            Priority::High => self.targets.high,
            Priority::Medium => self.targets.medium,
            Priority::Low => self.targets.low,
        };
        Target {
            ttft: analysis.ttft_target.unwrap_or(ttft),
            itl: analysis.itl_target.unwrap_or(itl),
        }
    }

    /// Whether requests wait here for an endpoint that has room.
    pub(crate) const fn queues(&self) -> bool {
        self.max_queued > 0
            && (self.max_in_flight > 0 || matches!(self.policy, Policy::Predictive(_)))
    }

    /// One more request in flight, if there may be.
    pub(crate) fn enter(&self) -> bool {
        let most = if self.max_in_flight == 0 { u32::MAX } else { self.max_in_flight };
        let one_more = |before: u32| (before < most).then(|| before + 1);
        self.state.in_flight.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// Whether a model that no route names may be asked for here: the endpoints serve it, and it is either any
    /// model's turn (a route without names) or adapts a model of this route.
    fn serves_unnamed(&self, model: &str) -> bool {
        let admits = |served: &Served| {
            served.id == model
                && (self.models.is_empty()
                    || served.parent.as_ref().is_some_and(|parent| self.models.contains(parent)))
        };
        self.pool.iter().any(|e| e.state.served().is_some_and(|served| served.iter().any(admits)))
    }
}

impl Snapshot {
    /// The snapshot that `sources` mean. State of endpoints and routes of `previous` that are still there is kept.
    pub(crate) fn of(sources: &[Arc<RouteSource>], previous: &Self, metrics: &Metrics) -> Self {
        super::lower::snapshot(sources, previous, metrics)
    }

    /// Whether it was made of these.
    pub(crate) fn is_of(&self, sources: &[Arc<RouteSource>]) -> bool {
        let same = |(route, source): (&Arc<Route>, &Arc<RouteSource>)| {
            Arc::ptr_eq(&route.source, source) || route.source == *source
        };
        self.version > 0
            && self.routes.len() == sources.len()
            && self.routes.iter().zip(sources).all(same)
    }

    /// The route for a request: by its model; without one, the only route there is.
    pub(crate) fn route(&self, model: Option<&str>) -> Result<&Arc<Route>, Failure> {
        if self.version == 0 {
            return Err(Failure::NotConfigured);
        }
        let Some(model) = model else {
            return match self.routes.as_slice() {
                [only] => Ok(only),
                _ => Err(Failure::NoModel { known: self.known_models() }),
            };
        };
        self.route_of(model).ok_or_else(|| Failure::UnknownModel {
            model: shortened(model),
            known: self.known_models(),
        })
    }

    fn route_of(&self, model: &str) -> Option<&Arc<Route>> {
        let named = self.by_model.get(model).map(|&i| &self.routes[i]);
        named.or_else(|| self.routes.iter().find(|route| route.serves_unnamed(model)))
    }

    /// The route that lets clients call an administrative path.
    pub(crate) fn route_allowing(&self, path: &str) -> Option<&Arc<Route>> {
        self.routes.iter().find(|route| route.allow_admin_paths.iter().any(|p| p == path))
    }

    /// The largest body that any route takes.
    pub(crate) fn max_body_bytes(&self) -> usize {
        self.routes.iter().map(|route| route.max_body_bytes).max().unwrap_or(1 << 20)
    }

    /// The models that clients may ask for, each with its `/v1/models` entry where an endpoint gave one.
    pub(crate) fn models(&self) -> Vec<(String, Option<Box<str>>)> {
        let mut seen: HashSet<String> = HashSet::new();
        let mut models = Vec::new();
        for route in &self.routes {
            for served in route.pool.iter().filter_map(|endpoint| endpoint.state.served()) {
                for model in served.iter() {
                    if !seen.contains(&model.id) && self.route_of(&model.id).is_some() {
                        seen.insert(model.id.clone());
                        models.push((model.id.clone(), Some(model.card.clone())));
                    }
                }
            }
            for name in route.models.iter().filter(|name| seen.insert((*name).clone())) {
                models.push((name.clone(), None));
            }
        }
        models
    }

    /// Some of the models, for an error message: the names in the configuration, or, without any, served ones.
    fn known_models(&self) -> String {
        let named: Vec<&str> = self.by_model.keys().map(String::as_str).collect();
        if !named.is_empty() {
            return known_models(named.into_iter());
        }
        let pools = self.routes.iter().flat_map(|route| route.pool.iter());
        let served: Vec<_> = pools.take(NAMED_ENDPOINTS).filter_map(|e| e.state.served()).collect();
        known_models(served.iter().flat_map(|served| served.iter().map(|m| m.id.as_str())))
    }
}

/// Endpoints whose models an error message looks at.
const NAMED_ENDPOINTS: usize = 16;

/// A client's model name for an error message: not longer than names are.
fn shortened(model: &str) -> String {
    const MOST: usize = 200;
    match model.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &model[..end]),
        None => model.to_owned(),
    }
}

#[cfg(test)]
mod tests;
