//! What the router will do with one request: whom it goes to, whether its phases are parted, and why.
//!
//! Filters drop what is impossible, the route's [`Policy`] picks among the rest. Pools fall back in one fixed
//! order, so that nothing is refused that could be served: the phase's own endpoints, then mixed ones, then any.

pub mod policy;
mod predictive;
mod reason;

use std::time::Duration;

use rand::Rng;
use smallvec::SmallVec;

pub use self::predictive::Predictive;
pub use self::reason::Reason;
use crate::endpoint::pool::Pool;
use crate::flight::qoe::Target;
use crate::memory::Memory;
use crate::memory::prefix::Held;
use crate::phase::{Phase, Role};
use crate::plan::policy::{Occasion, Policy};
use crate::request::analyze::WholeReason;

/// The choice for one request; endpoints are indices into the pool that was planned over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Plan {
    /// One endpoint serves the whole request.
    Local {
        /// Who.
        endpoint: usize,
    },
    /// Prefill on one endpoint, decoding on another.
    Handoff {
        /// Who reads the prompt.
        prefill: usize,
        /// Who streams the tokens.
        decoding: usize,
    },
}

impl Plan {
    /// The endpoint whose answer the client gets.
    #[must_use]
    pub const fn answering(self) -> usize {
        match self {
            Self::Local { endpoint } => endpoint,
            Self::Handoff { decoding, .. } => decoding,
        }
    }
}

/// What is expected of a plan. Seconds and tokens.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Forecast {
    /// Until the first token.
    pub ttft: f64,
    /// Between tokens.
    pub itl: f64,
    /// Until it is the prompt's turn.
    pub wait: f64,
    /// Prompt tokens in the prefix cache of who reads it.
    pub cached: f64,
    /// Prompt tokens whose KV is moved.
    pub moved: f64,
}

/// A plan, why it was made, and what is expected of it by policies that forecast.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Choice {
    /// What is to be done.
    pub plan: Plan,
    /// Why.
    pub reason: Reason,
    /// What is expected.
    pub forecast: Option<Forecast>,
}

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
    pub memory: &'a Memory,
    /// Who was tried in vain for this request.
    pub tried: &'a Tried,
    /// Time since the process's epoch.
    pub now: Duration,
}

/// Makes the plan. `None`: there is no usable endpoint at all.
pub fn plan(scope: &Scope<'_>, demand: &Demand<'_>, rng: &mut impl Rng) -> Option<Choice> {
    if let Policy::Predictive(rules) = scope.policy {
        return predictive::choose(scope, demand, *rules, rng);
    }
    let usable = usable(scope, demand.model);
    if usable.is_empty() {
        return None;
    }
    let held = scope.held(demand, 0..scope.pool.len());
    let mut chooser = Chooser { scope, demand, usable: &usable, held, rng };
    let (plan, reason) = match chooser.handoff() {
        Ok((prefill, decoding)) => (Plan::Handoff { prefill, decoding }, Reason::PrefillPhase),
        Err(reason) => (Plan::Local { endpoint: chooser.local(reason)? }, reason),
    };
    Some(Choice { plan, reason, forecast: None })
}

/// Indices into the pool: on the stack, for pools of ordinary size.
type Indices = SmallVec<[usize; 64]>;

/// Endpoints that serve the model and were not tried in vain, without the ejected ones unless all of them are.
fn usable(scope: &Scope<'_>, model: Option<&str>) -> Indices {
    let all: Indices = (0..scope.pool.len()).filter(|i| scope.may(*i, model)).collect();
    let healthy: Indices = all.iter().copied().filter(|i| scope.healthy(*i)).collect();
    if healthy.is_empty() { all } else { healthy }
}

impl Scope<'_> {
    /// Whether the endpoint serves the model and was not tried in vain.
    fn may(&self, endpoint: usize, model: Option<&str>) -> bool {
        !self.tried.endpoints.contains(&endpoint)
            && model.is_none_or(|model| self.pool[endpoint].state.serves(model))
    }

    /// How much of its prompt these endpoints hold, and some that hold the most.
    fn held(&self, demand: &Demand<'_>, asked: impl Iterator<Item = usize>) -> Held {
        match demand.blocks {
            [] => Held::default(),
            blocks => {
                let tags = asked.map(|i| self.pool[i].state.tag);
                self.memory.prefixes().held(blocks, tags)
            }
        }
    }

    fn healthy(&self, endpoint: usize) -> bool {
        !self.pool[endpoint].state.ejected(self.now)
    }

    /// Whether the request and the route allow a handoff at all.
    fn allows_handoff(&self, demand: &Demand<'_>) -> Result<(), Reason> {
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

struct Chooser<'a, R> {
    scope: &'a Scope<'a>,
    demand: &'a Demand<'a>,
    usable: &'a [usize],
    held: Held,
    rng: &'a mut R,
}

impl<R: Rng> Chooser<'_, R> {
    /// The pair to hand over between, or why there is none.
    fn handoff(&mut self) -> Result<(usize, usize), Reason> {
        self.wants_handoff()?;
        let mut prefill = self.of_role(Role::Prefill);
        let decoding = match self.of_role(Role::Decoding) {
            none if none.is_empty() => self.of_role(Role::Mixed),
            some => some,
        };
        if prefill.is_empty() {
            return Err(Reason::PrefillPoolEmpty);
        }
        if decoding.is_empty() {
            return Err(Reason::DecodingPoolEmpty);
        }
        prefill.retain(|i| !self.scope.tried.prefill.contains(i));
        if prefill.is_empty() {
            return Err(Reason::PrefillFailed);
        }
        prefill.retain(|i| self.scope.pool[*i].state.trusts_kv(self.scope.now));
        if prefill.is_empty() {
            return Err(Reason::KvDistrusted);
        }
        prefill.retain(|p| decoding.iter().any(|d| self.pairs(*p, *d)));
        let prefill = self.pick(Phase::Prefill, true, &prefill).ok_or(Reason::NoPair)?;
        let partners: Indices = decoding.into_iter().filter(|d| self.pairs(prefill, *d)).collect();
        let decoding = self.pick(Phase::Decoding, false, &partners).ok_or(Reason::NoPair)?;
        Ok((prefill, decoding))
    }

    /// Whether the request and the route want a handoff: the published rule parts what begins with its prompt.
    fn wants_handoff(&self) -> Result<(), Reason> {
        match self.scope.allows_handoff(self.demand) {
            Ok(()) | Err(Reason::ShortPrompt) if self.demand.phase == Phase::Decoding => {
                Err(Reason::DecodingPhase)
            }
            said => said,
        }
    }

    /// The endpoint for the whole request: of the phase that it is mostly made of, then mixed, then any.
    fn local(&mut self, reason: Reason) -> Option<usize> {
        let (role, phase) = match reason {
            Reason::Whole(WholeReason::SingleToken) => (Role::Prefill, Phase::Prefill),
            _ => (Role::Decoding, Phase::Decoding),
        };
        let candidates = [role, Role::Mixed]
            .into_iter()
            .map(|role| self.of_role(role))
            .find(|candidates| !candidates.is_empty());
        match candidates {
            Some(candidates) => self.pick(phase, true, &candidates),
            None => self.pick(phase, true, self.usable),
        }
    }

    fn of_role(&self, role: Role) -> Indices {
        let has_role = |i: &usize| self.scope.pool[*i].role == role;
        self.usable.iter().copied().filter(has_role).collect()
    }

    fn pairs(&self, prefill: usize, decoding: usize) -> bool {
        let pool = self.scope.pool;
        pool[prefill].hands_to(&pool[decoding])
    }

    fn pick(&mut self, phase: Phase, reads: bool, candidates: &[usize]) -> Option<usize> {
        let occasion = Occasion {
            depths: &self.held.depths,
            blocks: self.demand.blocks.len(),
            phase,
            reads,
            expected_output_tokens: self.demand.expected_output_tokens,
            now: self.scope.now,
        };
        let Scope { pool, policy, memory, .. } = *self.scope;
        policy.pick(pool, candidates, occasion, &memory.turns, self.rng)
    }
}

#[cfg(test)]
mod tests;
