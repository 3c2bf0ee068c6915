//! Plans of policies that pick one endpoint per phase, after filters have dropped those that cannot be used.

use rand::Rng;

use crate::memory::prefix::PrefixHits;
use crate::phase::{Phase, Role};
use crate::plan::occasion::Occasion;
use crate::plan::policy::EndpointPolicy;
use crate::plan::reason::Reason;
use crate::plan::scope::{Demand, Indices, Scope};
use crate::request::analyze::WholeReason;

/// The endpoints that can serve the model and have not failed this request; without ejected ones, unless all are.
pub(crate) fn usable(scope: &Scope<'_>, model: Option<&str>) -> Indices {
    let all: Indices = (0..scope.pool.len()).filter(|i| scope.can_serve(*i, model)).collect();
    let healthy: Indices = all.iter().copied().filter(|i| scope.healthy(*i)).collect();
    if healthy.is_empty() { all } else { healthy }
}

/// Plans one request with an [`EndpointPolicy`].
pub(crate) struct Chooser<'a, R> {
    pub(crate) scope: &'a Scope<'a>,
    pub(crate) demand: &'a Demand<'a>,
    pub(crate) policy: EndpointPolicy,
    pub(crate) usable: &'a [usize],
    pub(crate) held: PrefixHits,
    pub(crate) rng: &'a mut R,
}

impl<R: Rng> Chooser<'_, R> {
    /// The prefill and the decoding endpoint of a handoff, or why there is none.
    pub(crate) fn handoff(&mut self) -> Result<(usize, usize), Reason> {
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
        prefill.retain(|i| self.scope.pool[*i].state.health.trusts_kv(self.scope.now));
        if prefill.is_empty() {
            return Err(Reason::KvDistrusted);
        }
        prefill.retain(|p| decoding.iter().any(|d| self.pairs(*p, *d)));
        let prefill = self.pick(Phase::Prefill, true, &prefill).ok_or(Reason::NoPair)?;
        let partners: Indices = decoding.into_iter().filter(|d| self.pairs(prefill, *d)).collect();
        let decoding = self.pick(Phase::Decoding, false, &partners).ok_or(Reason::NoPair)?;
        Ok((prefill, decoding))
    }

    /// Whether the request and the route want a handoff. By the published rule, only requests in their prefill phase
    /// do.
    fn wants_handoff(&self) -> Result<(), Reason> {
        match self.scope.allows_handoff(self.demand) {
            Ok(()) | Err(Reason::ShortPrompt) if self.demand.phase == Phase::Decoding => {
                Err(Reason::DecodingPhase)
            }
            said => said,
        }
    }

    /// The endpoint for the whole request: of the phase that most of the request is, then a mixed one, then any.
    pub(crate) fn local(&mut self, reason: Reason) -> Option<usize> {
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
        let Scope { pool, memory, .. } = *self.scope;
        self.policy.pick(pool, candidates, occasion, &memory.turns, self.rng)
    }
}
