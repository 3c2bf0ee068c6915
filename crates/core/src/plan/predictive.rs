//! `Predictive`: every plan is judged by what it is expected to be for its user, and by what it costs the others.
//!
//! For each endpoint: the seconds until it is a prompt's turn, the seconds to read it (less what its prefix cache is
//! likely to hold), the time between tokens with one stream more, and the transfer of the KV cache. Then whole plans
//! are compared, serving it on one endpoint with every good pair, in one currency: promises broken.
//!
//! `risk(TTFT) + risk(ITL) + a little for each second + harm`, where harm is what the plan does to others: the prompt
//! delays prompts behind it and stalls the streams beside it, the stream slows the streams beside it, and its KV fills
//! the cache. So among plans that keep the promise the one that costs others least wins, and where none can keep it,
//! the least harm is done.
//!
//! Herds: own requests count at once, what others sent is part of the last scrape, near-equal plans are chosen among at
//! random, and of large pools each request sees another part.

pub mod cost;
mod judge;

use rand::{Rng, RngExt};
use smallvec::SmallVec;

use self::judge::{Candidate, CandidateFacts, Judge, PlanCost};
use crate::memory::prefix::PrefixHits;
use crate::phase::Role;
use crate::plan::choice::{Choice, Plan};
use crate::plan::policy::Predictive;
use crate::plan::reason::Reason;
use crate::plan::scope::{Demand, HandoffMode, Scope};
use crate::request::analyze::WholeReason;

/// Endpoints of one role that are looked at for one request; of larger pools, other ones each time.
const LOOKED_AT: usize = 8;
/// The best prefill endpoints are paired with the best decoding endpoints, so many of each.
const PAIRED: usize = 4;
/// Costs are equal to within this share: who wins among them is left to chance.
const BLUR: f64 = 0.02;

/// And of those that hold most of the prompt, so many.
const HOLDERS: usize = 4;
/// Most that are looked at: some of each role, and those that hold the beginning of the prompt.
const MOST: usize = 3 * LOOKED_AT + HOLDERS;

type Indices = SmallVec<[usize; MOST]>;
type Candidates = SmallVec<[Candidate; MOST]>;

/// The best plan, by its expected effects.
pub(super) fn choose(
    scope: &Scope<'_>,
    demand: &Demand<'_>,
    rules: Predictive,
    rng: &mut impl Rng,
) -> Option<Choice> {
    let judge = Judge::new(scope, demand);
    let looked = look(scope, demand, &judge, rng);
    let allowed = scope.allows_handoff(demand);
    let pair = allowed.and_then(|()| best_pair(scope, &judge, &looked, rng));
    let local = best_local(scope, demand, &judge, &looked, rules, rng);
    let (plan, reason, verdict) = match (local, pair) {
        (None, Err(_)) => return None,
        (Some((i, whole)), Err(reason)) => (local_plan(i), reason, whole),
        (None, Ok((plan, parted))) => (plan, Reason::PrefillPhase, parted),
        (Some(_), Ok((plan, parted))) if scope.handoff.mode == HandoffMode::Always => {
            (plan, Reason::PrefillPhase, parted)
        }
        (Some((i, whole)), Ok((_, parted))) if whole.cost() <= parted.cost() => {
            (local_plan(i), whole.better_than(&parted, demand), whole)
        }
        (Some((_, whole)), Ok((plan, parted))) => {
            (plan, parted.better_than(&whole, demand), parted)
        }
    };
    Some(Choice { plan, reason, forecast: Some(verdict.forecast) })
}

const fn local_plan(endpoint: usize) -> Plan {
    Plan::Local { endpoint }
}

/// What is seen of the endpoints that may serve it: of each role some, and those that hold most of its prompt.
fn look(
    scope: &Scope<'_>,
    demand: &Demand<'_>,
    judge: &Judge<'_>,
    rng: &mut impl Rng,
) -> Candidates {
    let mut indices: Indices = SmallVec::new();
    for role in [Role::Prefill, Role::Decoding, Role::Mixed] {
        indices.extend(scope.pool.some(role, LOOKED_AT, rng));
    }
    let held = scope.held(demand, indices.iter().copied());
    let mut looked = looked_at(scope, indices.into_iter().zip(depths(&held)));
    if looked.len() < scope.pool.len() {
        let most = held.most();
        let deepest = held.some.iter().filter(|(_, depth)| *depth == most);
        let deepest = deepest.filter_map(|(tag, _)| scope.pool.of_tag(*tag)).take(HOLDERS);
        for holder in deepest {
            if looked.iter().all(|one| one.at != holder) {
                looked.extend(looked_at(scope, [(holder, most)]));
            }
        }
    }
    looked.retain(|one| scope.may(one.at, demand.model));
    if looked.is_empty() {
        // None of those will do: any that does.
        let all: Indices = (0..scope.pool.len()).filter(|i| scope.may(*i, demand.model)).collect();
        let held = scope.held(demand, all.iter().copied());
        looked = looked_at(scope, all.into_iter().zip(depths(&held)));
    }
    if looked.iter().any(|one| scope.healthy(one.at)) {
        looked.retain(|one| scope.healthy(one.at));
    }
    let usual = judge.usual(&looked);
    looked.into_iter().map(|one| judge.see(one, &usual)).collect()
}

/// Endpoints, and how many blocks of the prompt they hold.
fn looked_at(
    scope: &Scope<'_>,
    endpoints: impl IntoIterator<Item = (usize, u32)>,
) -> SmallVec<[CandidateFacts; MOST]> {
    let now = scope.now;
    let look =
        |(at, held)| CandidateFacts { at, held, lately: scope.pool[at].state.pace.lately(now) };
    endpoints.into_iter().map(look).collect()
}

/// What was held of each that was asked for; nothing, where there was nothing to ask about.
fn depths(held: &PrefixHits) -> impl Iterator<Item = u32> {
    held.depths.iter().copied().chain(std::iter::repeat(0))
}

/// The endpoint that would best serve it whole.
fn best_local(
    scope: &Scope<'_>,
    demand: &Demand<'_>,
    judge: &Judge<'_>,
    looked: &Candidates,
    rules: Predictive,
    rng: &mut impl Rng,
) -> Option<(usize, PlanCost)> {
    let one_token = demand.whole == Some(Reason::Whole(WholeReason::SingleToken));
    let prefill_too = rules.cross_phase
        || one_token
        || looked.iter().all(|seen| scope.pool[seen.at].role == Role::Prefill);
    let options = looked
        .iter()
        .filter(|seen| prefill_too || scope.pool[seen.at].role != Role::Prefill)
        .map(|seen| (seen, judge.local_cost(seen)));
    lowest(options, rng).map(|seen| (seen.at, judge.local(seen)))
}

/// The best pair to hand over between, or why there is none.
fn best_pair(
    scope: &Scope<'_>,
    judge: &Judge<'_>,
    looked: &Candidates,
    rng: &mut impl Rng,
) -> Result<(Plan, PlanCost), Reason> {
    let is = |seen: &&Candidate, other: Role| scope.pool[seen.at].role != other;
    let mut readers: Several<'_> = looked.iter().filter(|seen| is(seen, Role::Decoding)).collect();
    let writers: Several<'_> = looked.iter().filter(|seen| is(seen, Role::Prefill)).collect();
    if readers.is_empty() {
        return Err(Reason::PrefillPoolEmpty);
    }
    if writers.is_empty() {
        return Err(Reason::DecodingPoolEmpty);
    }
    readers.retain(|seen| !scope.tried.prefill.contains(&seen.at));
    if readers.is_empty() {
        return Err(Reason::PrefillFailed);
    }
    readers.retain(|seen| scope.pool[seen.at].state.health.trusts_kv(scope.now));
    if readers.is_empty() {
        return Err(Reason::KvDistrusted);
    }
    let readers = best(&readers, |seen| judge.reading_cost(seen));
    let writers = best(&writers, |seen| judge.writing_cost(seen));
    let pairs = readers.iter().flat_map(|reader| {
        let partners =
            writers.iter().filter(|writer| scope.pool[reader.at].hands_to(&scope.pool[writer.at]));
        partners.map(move |writer| ((reader, writer), judge.handoff_cost(reader, writer)))
    });
    let (reader, writer) = lowest(pairs, rng).ok_or(Reason::NoPair)?;
    let plan = Plan::Handoff { prefill: reader.at, decoding: writer.at };
    Ok((plan, judge.handoff(reader, writer)))
}

type Several<'a> = SmallVec<[&'a Candidate; MOST]>;

/// Those of the lowest cost.
fn best<'a>(
    all: &Several<'a>,
    cost: impl Fn(&Candidate) -> f64,
) -> SmallVec<[&'a Candidate; PAIRED]> {
    let mut best: SmallVec<[(f64, &Candidate); PAIRED + 1]> = SmallVec::new();
    for seen in all {
        let cost = cost(seen);
        let place = best.iter().position(|(other, _)| cost < *other).unwrap_or(best.len());
        if place < PAIRED {
            best.insert(place, (cost, seen));
            best.truncate(PAIRED);
        }
    }
    best.into_iter().map(|(_, seen)| seen).collect()
}

/// The option of the lowest cost, with chance among near-equal ones.
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
