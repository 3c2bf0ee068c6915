//! The input of planning: what the request needs, and the pool and rules that it is planned over.

use std::time::Duration;

use smallvec::SmallVec;

use crate::endpoint::pool::Pool;
use crate::memory::RouteMemory;
use crate::memory::prefix::PrefixHits;
use crate::phase::Phase;
use crate::plan::policy::Policy;
use crate::plan::reason::Reason;
use crate::target::Target;

/// When a route parts the phases.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum HandoffMode {
    /// Where the prompt is long enough to pay.
    #[default]
    Auto,
    /// Whenever a request is in its prefill phase.
    Always,
    /// Never.
    Never,
}

/// A route's rule for handoffs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandoffRule {
    /// When.
    pub mode: HandoffMode,
    /// In `Auto`: prompts below this many tokens stay whole.
    pub min_prompt_tokens: u64,
}

/// Endpoints, as indices into the pool, that one request was already tried on in vain.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Not to be asked again at all.
    pub endpoints: Vec<usize>,
    /// Not to be handed from again.
    pub prefill: Vec<usize>,
}

/// What planning needs to know of a request.
#[derive(Clone, Copy, Debug)]
pub struct Demand<'a> {
    /// The model it names, if it names one.
    pub model: Option<&'a str>,
    /// What it needs first.
    pub phase: Phase,
    /// Tokens of its prompt, counted or estimated.
    pub prompt_tokens: u64,
    /// Output tokens the client expects, if it said so.
    pub expected_output_tokens: Option<u32>,
    /// Output tokens to expect, by its word or by what was learned.
    pub output_tokens: f64,
    /// Hashes of the blocks of its prompt, each over all before it too.
    pub blocks: &'a [u64],
    /// Tokens of one block.
    pub block_tokens: f64,
    /// What it is promised.
    pub target: Target,
    /// How long it has waited already.
    pub waited: Duration,
    /// Why it must be served whole, if it must.
    pub whole: Option<Reason>,
}

/// The pool a plan is made over, and the route's rules for it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The route's endpoints.
    pub pool: &'a Pool,
    /// How to choose.
    pub policy: &'a Policy,
    /// When to part the phases.
    pub handoff: HandoffRule,
    /// What the route remembers.
    pub memory: &'a RouteMemory,
    /// Who was tried in vain for this request.
    pub tried: &'a Tried,
    /// Time since the process's epoch.
    pub now: Duration,
}

/// Indices into the pool: on the stack, for pools of ordinary size.
pub(crate) type Indices = SmallVec<[usize; 64]>;

impl Scope<'_> {
    /// Whether the endpoint serves the model and was not tried in vain.
    pub(crate) fn may(&self, endpoint: usize, model: Option<&str>) -> bool {
        !self.tried.endpoints.contains(&endpoint)
            && model.is_none_or(|model| self.pool[endpoint].state.serves(model))
    }

    /// How much of its prompt these endpoints hold, and some that hold the most.
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

    pub(crate) fn healthy(&self, endpoint: usize) -> bool {
        !self.pool[endpoint].state.health.ejected(self.now)
    }

    /// Whether the request and the route allow a handoff at all.
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
