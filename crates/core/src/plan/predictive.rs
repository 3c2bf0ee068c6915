//! `Predictive`: compares whole plans by what they are expected to cost their own user and others.
//!
//! For each endpoint it forecasts the seconds until the prompt's turn, the seconds to read the prompt (less what the
//! prefix cache is likely to hold), the ITL with one stream more, and the transfer of the KV cache. Then it compares
//! serving the request whole on one endpoint with every good pair, in one unit: targets missed.
//!
//! `cost = risk(TTFT) + risk(ITL) + a little for each second + harm`. Harm is what the plan costs others: the prompt
//! delays prompts behind it and stalls streams beside it, the stream slows streams beside it, and its KV fills the
//! cache. Among plans that meet the targets the one that costs others least wins; if none can meet them, the one that
//! does the least harm.
//!
//! Against herds: this router's requests count at once, other routers' are in the last scrape, the choice among
//! near-equal plans is random, and of a large pool each request sees another sample.

pub mod cost;
mod judge;
mod tuning;

use rand::{Rng, RngExt};
use smallvec::SmallVec;

use self::cost::PlanCost;
use self::judge::{Candidate, CandidateFacts, Judge};
use crate::memory::prefix::PrefixHits;
use crate::phase::Role;
use crate::plan::choice::{Choice, Plan};
use crate::plan::policy::Predictive;
use crate::plan::reason::Reason;
use crate::plan::scope::{Demand, HandoffMode, Scope};
use crate::request::analyze::WholeReason;

/// The endpoints of one role that one request samples. Each costs some 200 ns; with few of a large pool, routers that
/// plan at the same moment do not all find the same best one. Tuned in the lab, no sensitivity measured.
const SAMPLED: usize = 8;
/// The number of the best endpoints of each role that are compared in all pairs, so 16 pairs. Tuned in the lab, no
/// sensitivity measured.
const PAIRED: usize = 4;
/// The share within which costs count as equal, and chance decides. Tuned in the lab, no sensitivity measured.
const BLUR: f64 = 0.02;
/// The endpoints with the most of the prompt in their prefix caches that are compared besides the sample. Tuned in the
/// lab, no sensitivity measured.
const HOLDERS: usize = 4;
/// The most candidates that lie on the stack: a sample of each role, and the holders.
const MAX_CANDIDATES: usize = 3 * SAMPLED + HOLDERS;

type Indices = SmallVec<[usize; MAX_CANDIDATES]>;
type Candidates = SmallVec<[Candidate; MAX_CANDIDATES]>;

/// The plan with the lowest cost. `None` if no endpoint can be used.
pub(super) fn choose(
    scope: &Scope<'_>,
    demand: &Demand<'_>,
    rules: Predictive,
    rng: &mut impl Rng,
) -> Option<Choice> {
    let judge = Judge::new(scope, demand);
    let candidates = candidates(scope, demand, &judge, rng);
    let allowed = scope.allows_handoff(demand);
    let pair = allowed.and_then(|()| best_pair(scope, &judge, &candidates, rng));
    let local = best_local(scope, demand, &judge, &candidates, rules, rng);
    let (plan, reason, cost) = match (local, pair) {
        (None, Err(_)) => return None,
        (Some((i, whole)), Err(reason)) => (local_plan(i), reason, whole),
        (None, Ok((plan, handoff))) => (plan, Reason::PrefillPhase, handoff),
        (Some(_), Ok((plan, handoff))) if scope.handoff.mode == HandoffMode::Always => {
            (plan, Reason::PrefillPhase, handoff)
        }
        (Some((i, whole)), Ok((_, handoff))) if whole.cost() <= handoff.cost() => {
            (local_plan(i), whole.better_than(&handoff, demand), whole)
        }
        (Some((_, whole)), Ok((plan, handoff))) => {
            (plan, handoff.better_than(&whole, demand), handoff)
        }
    };
    Some(Choice { plan, reason, forecast: Some(cost.forecast) })
}

const fn local_plan(endpoint: usize) -> Plan {
    Plan::Local { endpoint }
}

/// The candidates for the plan: a sample of each role, and endpoints that hold most of the prompt.
fn candidates(
    scope: &Scope<'_>,
    demand: &Demand<'_>,
    judge: &Judge<'_>,
    rng: &mut impl Rng,
) -> Candidates {
    let mut facts = sampled(scope, demand, rng);
    facts.retain(|one| scope.can_serve(one.at, demand.model));
    if facts.is_empty() {
        // A sample can miss the few endpoints that serve the model, or that have not failed the request yet.
        let all: Indices =
            (0..scope.pool.len()).filter(|i| scope.can_serve(*i, demand.model)).collect();
        let held = scope.held(demand, all.iter().copied());
        facts = facts_of(scope, all.into_iter().zip(depths(&held)));
    }
    // Ejected endpoints are better than none: all of them may be ejected for a fault that is over.
    if facts.iter().any(|one| scope.healthy(one.at)) {
        facts.retain(|one| scope.healthy(one.at));
    }
    let typical = judge.typical_prefill(&facts);
    facts.into_iter().map(|one| judge.candidate(one, &typical)).collect()
}

type Facts = SmallVec<[CandidateFacts; MAX_CANDIDATES]>;

/// A random sample of each role, and endpoints outside it that hold most of the prompt.
fn sampled(scope: &Scope<'_>, demand: &Demand<'_>, rng: &mut impl Rng) -> Facts {
    let mut indices: Indices = SmallVec::new();
    for role in [Role::Prefill, Role::Decoding, Role::Mixed] {
        indices.extend(scope.pool.sample(role, SAMPLED, rng));
    }
    let held = scope.held(demand, indices.iter().copied());
    let mut facts = facts_of(scope, indices.into_iter().zip(depths(&held)));
    if facts.len() < scope.pool.len() {
        let most = held.most();
        let deepest = held.some.iter().filter(|(_, depth)| *depth == most);
        let deepest = deepest.filter_map(|(tag, _)| scope.pool.of_tag(*tag)).take(HOLDERS);
        for holder in deepest {
            if facts.iter().all(|one| one.at != holder) {
                facts.extend(facts_of(scope, [(holder, most)]));
            }
        }
    }
    facts
}

/// The facts of endpoints, given with the blocks of the prompt that they hold.
fn facts_of(scope: &Scope<'_>, endpoints: impl IntoIterator<Item = (usize, u32)>) -> Facts {
    let now = scope.now;
    let facts =
        |(at, held)| CandidateFacts { at, held, lately: scope.pool[at].state.pace.lately(now) };
    endpoints.into_iter().map(facts).collect()
}

/// The depths of the asked endpoints, in their order; 0 for all if the prompt has no blocks.
fn depths(held: &PrefixHits) -> impl Iterator<Item = u32> {
    held.depths.iter().copied().chain(std::iter::repeat(0))
}

/// The endpoint that serves the request whole at the lowest cost.
fn best_local(
    scope: &Scope<'_>,
    demand: &Demand<'_>,
    judge: &Judge<'_>,
    candidates: &Candidates,
    rules: Predictive,
    rng: &mut impl Rng,
) -> Option<(usize, PlanCost)> {
    let one_token = demand.whole == Some(Reason::Whole(WholeReason::SingleToken));
    let prefill_too = rules.cross_phase
        || one_token
        || candidates.iter().all(|candidate| scope.pool[candidate.at].role == Role::Prefill);
    let options = candidates
        .iter()
        .filter(|candidate| prefill_too || scope.pool[candidate.at].role != Role::Prefill)
        .map(|candidate| (candidate, judge.local_cost(candidate)));
    lowest(options, rng).map(|candidate| (candidate.at, judge.local(candidate)))
}

/// The handoff with the lowest cost, or why there is none.
fn best_pair(
    scope: &Scope<'_>,
    judge: &Judge<'_>,
    candidates: &Candidates,
    rng: &mut impl Rng,
) -> Result<(Plan, PlanCost), Reason> {
    let is_not = |candidate: &&Candidate, role: Role| scope.pool[candidate.at].role != role;
    let mut readers: CandidateRefs<'_> =
        candidates.iter().filter(|candidate| is_not(candidate, Role::Decoding)).collect();
    let writers: CandidateRefs<'_> =
        candidates.iter().filter(|candidate| is_not(candidate, Role::Prefill)).collect();
    if readers.is_empty() {
        return Err(Reason::PrefillPoolEmpty);
    }
    if writers.is_empty() {
        return Err(Reason::DecodingPoolEmpty);
    }
    readers.retain(|candidate| !scope.tried.prefill.contains(&candidate.at));
    if readers.is_empty() {
        return Err(Reason::PrefillFailed);
    }
    readers.retain(|candidate| scope.pool[candidate.at].state.health.trusts_kv(scope.now));
    if readers.is_empty() {
        return Err(Reason::KvDistrusted);
    }
    let readers = best(&readers, |candidate| judge.prefill_cost(candidate));
    let writers = best(&writers, |candidate| judge.decoding_cost(candidate));
    let pairs = readers.iter().flat_map(|reader| {
        let partners =
            writers.iter().filter(|writer| scope.pool[reader.at].hands_to(&scope.pool[writer.at]));
        partners.map(move |writer| ((reader, writer), judge.handoff_cost(reader, writer)))
    });
    let (reader, writer) = lowest(pairs, rng).ok_or(Reason::NoPair)?;
    let plan = Plan::Handoff { prefill: reader.at, decoding: writer.at };
    Ok((plan, judge.handoff(reader, writer)))
}

type CandidateRefs<'a> = SmallVec<[&'a Candidate; MAX_CANDIDATES]>;

/// The [`PAIRED`] candidates of the lowest cost, the lowest first.
fn best<'a>(
    all: &CandidateRefs<'a>,
    cost: impl Fn(&Candidate) -> f64,
) -> SmallVec<[&'a Candidate; PAIRED]> {
    let mut best: SmallVec<[(f64, &Candidate); PAIRED + 1]> = SmallVec::new();
    for candidate in all {
        let cost = cost(candidate);
        let place = best.iter().position(|(other, _)| cost < *other).unwrap_or(best.len());
        if place < PAIRED {
            best.insert(place, (cost, candidate));
            best.truncate(PAIRED);
        }
    }
    best.into_iter().map(|(_, candidate)| candidate).collect()
}

/// The option with the lowest cost; chance decides among near-equal ones.
fn lowest<T>(options: impl Iterator<Item = (T, f64)>, rng: &mut impl Rng) -> Option<T> {
    let mut best: Option<(T, f64)> = None;
    for (option, cost) in options {
        let cost = cost * (1.0 + BLUR * rng.random::<f64>());
        if best.as_ref().is_none_or(|(_, lowest)| cost < *lowest) {
            best = Some((option, cost));
        }
    }
    best.map(|(option, _)| option)
}

#[cfg(test)]
mod tests;
