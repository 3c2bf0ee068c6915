//! Computes the figures of one run from its outcomes.

use std::collections::BTreeMap;

use qoe_core::request::analyze::Priority;

use crate::lab::outcome::{Outcome, REFUSED, Run, Use};
use crate::lab::summary::GIB;
use crate::stats::Sample;

/// The figures of one run: latencies, SLO attainment, and resource use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summary {
    /// The number of requests that arrived.
    pub requests: usize,
    /// The number of requests that were answered completely.
    pub served: usize,
    /// The number of requests that admission refused.
    pub refused: usize,
    /// The number of requests that were lost with their endpoint or never ended.
    pub lost: usize,
    /// Seconds to the first token.
    pub ttft: Percentiles,
    /// Mean seconds between the tokens of a request.
    pub itl: Percentiles,
    /// Seconds between any two tokens of any stream.
    pub gap: Percentiles,
    /// Seconds to the end.
    pub e2e: Percentiles,
    /// Mean QoE of all requests, 0 to 1.
    pub qoe_mean: f64,
    /// QoE that 90 % of all requests reach or exceed.
    pub qoe_p10: f64,
    /// Share of all requests that met both targets.
    pub sla_met: f64,
    /// Share of all requests that met both targets without a long pause.
    pub smooth: f64,
    /// The share that met both targets, by priority as in [`PRIORITIES`]. `None`: there were no such requests.
    pub sla_by_priority: [Option<f64>; 3],
    /// Requests that met both targets, per second in which requests arrived.
    pub goodput: f64,
    /// Share of the served requests that were prefilled on one endpoint and decoded on another.
    pub handed_off: f64,
    /// The KV that was transferred, in GiB.
    pub moved_gib: f64,
    /// Share of the prompt tokens that were found in a prefix cache.
    pub prefix_hits: f64,
    /// How the endpoints of each role were used.
    pub roles: Vec<RoleUse>,
    /// The reasons of plans with their counts, most frequent first.
    pub reasons: Vec<(&'static str, usize)>,
    /// Median of |forecast − TTFT| ÷ TTFT, where there was a forecast.
    pub ttft_error: Option<f64>,
    /// Median of |forecast − ITL| ÷ ITL, where there was a forecast.
    pub itl_error: Option<f64>,
}

/// Three percentiles in seconds. `None`: there are no values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Percentiles {
    /// The median.
    pub p50: Option<f64>,
    /// The 90th percentile.
    pub p90: Option<f64>,
    /// The 99th percentile.
    pub p99: Option<f64>,
}

/// How the endpoints of one role were used.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RoleUse {
    /// The role: `prefill`, `decoding` or `mixed`.
    pub role: &'static str,
    /// The number of endpoints.
    pub endpoints: usize,
    /// The mean share of time that they computed.
    pub busy: f64,
    /// The mean share of their KV blocks in use.
    pub kv_use: f64,
    /// The number of preemptions for lack of KV blocks, over all endpoints.
    pub preemptions: u64,
}

/// The order of [`Summary::sla_by_priority`].
pub const PRIORITIES: [Priority; 3] = [Priority::High, Priority::Medium, Priority::Low];

impl Summary {
    /// Summarizes a run. The KV of one token has `bytes_per_token` bytes.
    #[must_use]
    pub fn of(run: &Run, bytes_per_token: f64) -> Self {
        let all = run.outcomes.as_slice();
        let count = |of: fn(&Outcome) -> bool| all.iter().filter(|outcome| of(outcome)).count();
        let tokens = |of: fn(&Outcome) -> u32| all.iter().map(|o| f64::from(of(o))).sum::<f64>();
        let of = |value: fn(&Outcome) -> Option<f64>| {
            Sample::new(all.iter().filter_map(value).collect::<Vec<_>>())
        };
        let served = count(|outcome| outcome.served);
        let refused = count(|outcome| !outcome.served && outcome.reason == REFUSED);
        let met = count(|outcome| outcome.sla_met);
        let qoe = of(|outcome| Some(outcome.qoe));
        Self {
            requests: all.len(),
            served,
            refused,
            lost: all.len() - served - refused,
            ttft: Percentiles::of(&of(|outcome| outcome.ttft)),
            itl: Percentiles::of(&of(|outcome| outcome.itl)),
            gap: Percentiles::of_histogram(&run.gaps),
            // A lost request has no end whose time could count.
            e2e: Percentiles::of(&of(|outcome| outcome.served.then_some(outcome.e2e))),
            qoe_mean: qoe.mean().unwrap_or_default(),
            qoe_p10: qoe.percentile(10.0).unwrap_or_default(),
            sla_met: share(met as f64, all.len() as f64),
            smooth: share(count(|outcome| outcome.smooth) as f64, all.len() as f64),
            sla_by_priority: PRIORITIES.map(|priority| sla_met(all, priority)),
            // The time after the last arrival does not count, or longer answers would lower the rate.
            goodput: share(met as f64, run.arrivals_seconds),
            handed_off: share(count(|o| o.served && o.handoff) as f64, served as f64),
            moved_gib: tokens(|outcome| outcome.moved_tokens) * bytes_per_token / GIB,
            prefix_hits: share(tokens(|o| o.cached_tokens), tokens(|o| o.prompt_tokens)),
            roles: roles(&run.uses),
            reasons: reasons(all),
            ttft_error: of(|outcome| error(outcome.forecast_ttft, outcome.ttft)).median(),
            itl_error: of(|outcome| error(outcome.forecast_itl, outcome.itl)).median(),
        }
    }
}

impl Percentiles {
    fn of(sample: &Sample) -> Self {
        let [p50, p90, p99] = [50.0, 90.0, 99.0].map(|percent| sample.percentile(percent));
        Self { p50, p90, p99 }
    }

    /// The percentiles of a histogram: the upper bound of the bucket with the rank.
    fn of_histogram(buckets: &[(f64, u64)]) -> Self {
        let total: u64 = buckets.iter().map(|(_, count)| count).sum();
        let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|part| {
            let rank = ((total as f64 * part).ceil() as u64).max(1);
            let mut seen = 0;
            let reached = |&&(_, count): &&(f64, u64)| {
                seen += count;
                seen >= rank
            };
            buckets.iter().find(reached).map(|&(bound, _)| bound)
        });
        Self { p50, p90, p99 }
    }
}

/// `part ÷ whole`, or 0 if `whole` is 0.
fn share(part: f64, whole: f64) -> f64 {
    if whole > 0.0 { part / whole } else { 0.0 }
}

fn sla_met(all: &[Outcome], priority: Priority) -> Option<f64> {
    let some = || all.iter().filter(|outcome| outcome.priority == priority);
    let met = some().filter(|outcome| outcome.sla_met).count();
    (some().next().is_some()).then(|| share(met as f64, some().count() as f64))
}

/// The relative error of a forecast.
fn error(forecast: Option<f64>, actual: Option<f64>) -> Option<f64> {
    // An error relative to 0 is undefined.
    let actual = actual.filter(|&actual| actual > 0.0)?;
    Some((forecast? - actual).abs() / actual)
}

fn reasons(all: &[Outcome]) -> Vec<(&'static str, usize)> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    for outcome in all {
        *counts.entry(outcome.reason).or_default() += 1;
    }
    let mut reasons: Vec<_> = counts.into_iter().collect();
    reasons.sort_by_key(|&(_, count)| std::cmp::Reverse(count));
    reasons
}

fn roles(uses: &[Use]) -> Vec<RoleUse> {
    let mut roles: Vec<RoleUse> = Vec::new();
    for endpoint in uses {
        let index = roles.iter().position(|role| role.role == endpoint.role).unwrap_or_else(|| {
            roles.push(RoleUse { role: endpoint.role, ..RoleUse::default() });
            roles.len() - 1
        });
        let role = &mut roles[index];
        role.endpoints += 1;
        role.busy += endpoint.busy;
        role.kv_use += endpoint.kv_use;
        role.preemptions += endpoint.preemptions;
    }
    for role in &mut roles {
        role.busy /= role.endpoints as f64;
        role.kv_use /= role.endpoints as f64;
    }
    roles
}
