//! The input of planning: the request's demand, and the pool and rules that it is planned over.

use std::time::Duration;

use smallvec::SmallVec;

use crate::endpoint::pool::Pool;
use crate::memory::RouteMemory;
use crate::memory::prefix::PrefixHits;
use crate::phase::Phase;
use crate::plan::policy::Policy;
use crate::plan::reason::Reason;
use crate::target::Target;

/// When a route disaggregates prefill and decoding.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandoffMode {
    /// If the prompt is long enough for a handoff to pay.
    #[default]
    Auto,
    /// For every request in its prefill phase.
    Always,
    /// Never.
    Never,
}

/// A route's rule for handoffs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffRule {
    /// When the route hands off.
    pub mode: HandoffMode,
    /// In `Auto`, requests with fewer prompt tokens are served whole.
    pub min_prompt_tokens: u64,
}

/// Endpoints, as indices into the pool, that have already failed one request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Endpoints that are not used again.
    pub endpoints: Vec<usize>,
    /// Endpoints that are not used for prefill again.
    pub prefill: Vec<usize>,
}

/// What planning needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The model it names, if it names one.
    pub model: Option<&'a str>,
    /// The phase that it needs first.
    pub phase: Phase,
    /// Tokens of its prompt, exact or estimated.
    pub prompt_tokens: u64,
    /// Output tokens the client expects, if it said so.
    pub expected_output_tokens: Option<u32>,
    /// Expected output tokens, from the client or learned.
    pub output_tokens: f64,
    /// Hashes of the blocks of its prompt, each over its block and all before it.
    pub blocks: &'a [u64],
    /// Tokens of one block.
    pub block_tokens: f64,
    /// Its service-level targets.
    pub target: Target,
    /// The time since it arrived: its body, the queue, and failed attempts.
    pub waited: Duration,
    /// Why it must be served whole; `None` if it may be handed off.
    pub whole: Option<Reason>,
}

/// The pool a plan is made over, and the route's rules for it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The route's endpoints.
    pub pool: &'a Pool,
    /// The policy that chooses.
    pub policy: &'a Policy,
    /// When to hand off.
    pub handoff: HandoffRule,
    /// What the route has learned.
    pub memory: &'a RouteMemory,
    /// The endpoints that have failed this request.
    pub tried: &'a Tried,
    /// The time since the process's epoch.
    pub now: Duration,
}

/// Indices into the pool: on the stack, for pools of ordinary size.
pub(crate) type Indices = SmallVec<[usize; 64]>;

impl Scope<'_> {
    /// Whether the endpoint serves the model and has not failed this request.
    pub(crate) fn can_serve(&self, endpoint: usize, model: Option<&str>) -> bool {
        !self.tried.endpoints.contains(&endpoint)
            && model.is_none_or(|model| self.pool[endpoint].state.serves(model))
    }

    /// How much of the prompt these endpoints hold, and some that hold the most.
    pub(crate) fn held(
        &self,
        demand: &Demand<'_>,
        asked: impl Iterator<Item = usize>,
    ) -> PrefixHits {
        match demand.blocks {
            [] => PrefixHits::default(),
            blocks => {
                let tags = asked.map(|i| self.pool[i].state.tag);
                self.memory.prefixes().held(blocks, tags)
            }
        }
    }

    /// Whether the endpoint is not ejected.
    pub(crate) fn healthy(&self, endpoint: usize) -> bool {
        !self.pool[endpoint].state.health.ejected(self.now)
    }

    /// Checks that the request and the route allow a handoff; the error says why not.
    pub(crate) fn allows_handoff(&self, demand: &Demand<'_>) -> Result<(), Reason> {
        if let Some(reason) = demand.whole {
            return Err(reason);
        }
        match self.handoff.mode {
            HandoffMode::Never => Err(Reason::HandoffNever),
            HandoffMode::Auto if demand.prompt_tokens < self.handoff.min_prompt_tokens => {
                Err(Reason::ShortPrompt)
            }
            _ => Ok(()),
        }
    }
}
