//! What the router will do with one request: whom it goes to, whether its phases are parted, and why.
//!
//! Filters drop what is impossible, the route's [`Policy`] picks among the rest. Pools fall back in one fixed
//! order, so that nothing is refused that could be served: the phase's own endpoints, then mixed ones, then any.

use std::time::Duration;

use rand::Rng;
use serde::{Serialize, Serializer};

use crate::analyze::WholeReason;
use crate::endpoint::Endpoint;
use crate::phase::{Phase, Role};
use crate::policy::{Occasion, Policy, Turns};

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

/// Why a plan is what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The request begins with its prompt: the phases are parted.
    PrefillPhase,
    /// A conversation goes on: it goes whole to a decoding endpoint.
    DecodingPhase,
    /// The prompt is too short for a handoff to pay.
    ShortPrompt,
    /// The route hands nothing over.
    HandoffNever,
    /// No prefill endpoint can be used.
    PrefillPoolEmpty,
    /// No decoding endpoint can be used.
    DecodingPoolEmpty,
    /// No pair of endpoints has a connector, and a group, in common.
    NoPair,
    /// Prefill was tried and failed.
    PrefillFailed,
    /// Prefill answered without usable KV parameters.
    KvParamsMissing,
    /// KV caches handed over by the prefill endpoints could not be used lately.
    KvDistrusted,
    /// A handoff was tried and decoding failed.
    HandoffFailed,
    /// The request is of a kind that one endpoint serves whole.
    Whole(WholeReason),
    /// The endpoint that holds the conversation.
    StoredResponse,
}

impl Reason {
    /// The reason's name in headers, logs and metrics.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::PrefillPhase => "prefill_phase",
            Self::DecodingPhase => "decoding_phase",
            Self::ShortPrompt => "short_prompt",
            Self::HandoffNever => "handoff_never",
            Self::PrefillPoolEmpty => "prefill_pool_empty",
            Self::DecodingPoolEmpty => "decoding_pool_empty",
            Self::NoPair => "no_pair",
            Self::PrefillFailed => "prefill_failed",
            Self::KvParamsMissing => "kv_params_missing",
            Self::KvDistrusted => "kv_distrusted",
            Self::HandoffFailed => "handoff_failed",
            Self::Whole(why) => why.as_str(),
            Self::StoredResponse => "stored_response",
        }
    }
}

impl Serialize for Reason {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
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
    /// Why it must be served whole, if it must.
    pub whole: Option<Reason>,
}

/// The pool a plan is made over, and the route's rules for it.
#[derive(Clone, Copy, Debug)]
pub struct Scope<'a> {
    /// The route's endpoints.
    pub pool: &'a [Endpoint],
    /// How to choose.
    pub policy: &'a Policy,
    /// When to part the phases.
    pub handoff: HandoffRule,
    /// Whose turn it is, for policies that take turns.
    pub turns: &'a Turns,
    /// Who was tried in vain for this request.
    pub tried: &'a Tried,
    /// Time since the process's epoch.
    pub now: Duration,
}

/// Makes the plan. `None`: there is no usable endpoint at all.
pub fn plan(scope: &Scope<'_>, demand: &Demand<'_>, rng: &mut impl Rng) -> Option<(Plan, Reason)> {
    let usable = usable(scope, demand.model);
    if usable.is_empty() {
        return None;
    }
    let mut chooser = Chooser { scope, demand, usable: &usable, rng };
    match chooser.handoff() {
        Ok((prefill, decoding)) => {
            Some((Plan::Handoff { prefill, decoding }, Reason::PrefillPhase))
        }
        Err(reason) => chooser.local(reason).map(|endpoint| (Plan::Local { endpoint }, reason)),
    }
}

/// Endpoints that serve the model and were not tried in vain, without the ejected ones unless all of them are.
fn usable(scope: &Scope<'_>, model: Option<&str>) -> Vec<usize> {
    let may = |i: &usize| {
        !scope.tried.endpoints.contains(i)
            && model.is_none_or(|model| scope.pool[*i].state.serves(model))
    };
    let all: Vec<usize> = (0..scope.pool.len()).filter(may).collect();
    let healthy: Vec<usize> =
        all.iter().copied().filter(|i| !scope.pool[*i].state.ejected(scope.now)).collect();
    if healthy.is_empty() { all } else { healthy }
}

struct Chooser<'a, R> {
    scope: &'a Scope<'a>,
    demand: &'a Demand<'a>,
    usable: &'a [usize],
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
        let prefill = self.pick(Phase::Prefill, &prefill).ok_or(Reason::NoPair)?;
        let partners: Vec<_> = decoding.into_iter().filter(|d| self.pairs(prefill, *d)).collect();
        let decoding = self.pick(Phase::Decoding, &partners).ok_or(Reason::NoPair)?;
        Ok((prefill, decoding))
    }

    /// Whether the request and the route want a handoff at all.
    fn wants_handoff(&self) -> Result<(), Reason> {
        if let Some(reason) = self.demand.whole {
            return Err(reason);
        }
        let rule = self.scope.handoff;
        match (rule.mode, self.demand.phase) {
            (HandoffMode::Never, _) => Err(Reason::HandoffNever),
            (_, Phase::Decoding) => Err(Reason::DecodingPhase),
            (HandoffMode::Auto, _) if self.demand.prompt_tokens < rule.min_prompt_tokens => {
                Err(Reason::ShortPrompt)
            }
            _ => Ok(()),
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
            Some(candidates) => self.pick(phase, &candidates),
            None => self.pick(phase, self.usable),
        }
    }

    fn of_role(&self, role: Role) -> Vec<usize> {
        let has_role = |i: &usize| self.scope.pool[*i].role == role;
        self.usable.iter().copied().filter(has_role).collect()
    }

    fn pairs(&self, prefill: usize, decoding: usize) -> bool {
        let pool = self.scope.pool;
        pool[prefill].hands_to(&pool[decoding])
    }

    fn pick(&mut self, phase: Phase, candidates: &[usize]) -> Option<usize> {
        let occasion = Occasion {
            phase,
            expected_output_tokens: self.demand.expected_output_tokens,
            now: self.scope.now,
        };
        let Scope { pool, policy, turns, .. } = *self.scope;
        policy.pick(pool, candidates, occasion, turns, self.rng)
    }
}

#[cfg(test)]
mod tests;
