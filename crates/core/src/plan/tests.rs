use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use super::*;
use crate::endpoint::Endpoint;
use crate::endpoint::connector::Connector;
use crate::endpoint::pool::Pool;
use crate::endpoint::state::Served;
use crate::endpoint::tests::endpoint;
use crate::memory::RouteMemory;
use crate::phase::{Phase, Role};
use crate::plan::policy::EndpointPolicy;
use crate::plan::scope::{HandoffMode, HandoffRule, Tried};
use crate::request::analyze::WholeReason;
use crate::target::Target;

const NOW: Duration = Duration::from_secs(100);

/// A pool from one letter each: `p`refill, `d`ecoding, `m`ixed.
fn pool(roles: &str) -> Pool {
    let role = |c| match c {
        'p' => Role::Prefill,
        'd' => Role::Decoding,
        _ => Role::Mixed,
    };
    roles.chars().enumerate().map(|(i, c)| endpoint(&format!("{c}{i}"), role(c))).collect()
}

const PROMPT: Demand<'static> = Demand {
    model: None,
    phase: Phase::Prefill,
    prompt_tokens: 1000,
    expected_output_tokens: None,
    output_tokens: 100.0,
    blocks: &[],
    block_tokens: 256.0,
    target: Target { ttft: Duration::from_millis(500), itl: Duration::from_millis(50) },
    waited: Duration::ZERO,
    whole: None,
};

struct Case<'a> {
    pool: &'a Pool,
    mode: HandoffMode,
    tried: Tried,
}

impl<'a> Case<'a> {
    fn new(pool: &'a Pool) -> Self {
        Self { pool, mode: HandoffMode::Auto, tried: Tried::default() }
    }

    fn plan(&self, demand: Demand<'_>) -> Option<(Plan, Reason)> {
        let memory = RouteMemory::default();
        let scope = Scope {
            pool: self.pool,
            policy: &EndpointPolicy::LeastRequest.into(),
            handoff: HandoffRule { mode: self.mode, min_prompt_tokens: 256 },
            memory: &memory,
            tried: &self.tried,
            now: NOW,
        };
        let choice = plan(&scope, &demand, &mut SmallRng::seed_from_u64(1))?;
        Some((choice.plan, choice.reason))
    }
}

const fn local(endpoint: usize, reason: Reason) -> Option<(Plan, Reason)> {
    Some((Plan::Local { endpoint }, reason))
}

#[test]
fn a_prompt_is_handed_from_prefill_to_decoding() {
    let pool = pool("pdm");
    let expected = (Plan::Handoff { prefill: 0, decoding: 1 }, Reason::PrefillPhase);
    assert_eq!(Case::new(&pool).plan(PROMPT), Some(expected));
}

#[test]
fn what_stays_whole_says_why() {
    let pool = pool("pd");
    let case = Case::new(&pool);
    let short = Demand { prompt_tokens: 255, ..PROMPT };
    assert_eq!(case.plan(short), local(1, Reason::ShortPrompt));
    let always = Case { mode: HandoffMode::Always, ..Case::new(&pool) };
    assert_eq!(always.plan(short).map(|p| p.1), Some(Reason::PrefillPhase));
    let goes_on = Demand { phase: Phase::Decoding, ..PROMPT };
    assert_eq!(case.plan(goes_on), local(1, Reason::DecodingPhase));
    assert_eq!(always.plan(goes_on), local(1, Reason::DecodingPhase));
    let never = Case { mode: HandoffMode::Never, ..Case::new(&pool) };
    assert_eq!(never.plan(PROMPT), local(1, Reason::HandoffNever));
    let whole = Demand { whole: Some(Reason::Whole(WholeReason::Echo)), ..PROMPT };
    assert_eq!(case.plan(whole), local(1, Reason::Whole(WholeReason::Echo)));
    let reason = Reason::Whole(WholeReason::SingleToken);
    let single = Demand { whole: Some(reason), ..PROMPT };
    assert_eq!(case.plan(single), local(0, reason), "nothing to decode: prefill serves it");
}

#[test]
fn pools_fall_back_to_mixed_and_then_to_any() {
    let expect = |roles: &str, expected: Option<(Plan, Reason)>| {
        assert_eq!(Case::new(&pool(roles)).plan(PROMPT), expected, "{roles}");
    };
    expect("", None);
    expect("d", local(0, Reason::PrefillPoolEmpty));
    expect("md", local(1, Reason::PrefillPoolEmpty));
    expect("m", local(0, Reason::PrefillPoolEmpty));
    expect("p", local(0, Reason::DecodingPoolEmpty));
    expect("pm", Some((Plan::Handoff { prefill: 0, decoding: 1 }, Reason::PrefillPhase)));
}

#[test]
fn what_failed_is_not_asked_again() {
    let pool = pool("ppdd");
    let after = |endpoints: &[usize], prefill: &[usize]| {
        let tried = Tried { endpoints: endpoints.to_vec(), prefill: prefill.to_vec() };
        Case { tried, ..Case::new(&pool) }.plan(PROMPT)
    };
    let next = after(&[], &[0]);
    assert!(matches!(next, Some((Plan::Handoff { prefill: 1, .. }, _))), "{next:?}");
    let none = after(&[], &[0, 1]);
    assert!(
        matches!(none, Some((Plan::Local { endpoint: 2 | 3 }, Reason::PrefillFailed))),
        "{none:?}"
    );
    let decoding = after(&[2], &[]);
    assert!(matches!(decoding, Some((Plan::Handoff { decoding: 3, .. }, _))), "{decoding:?}");
    assert_eq!(after(&[0, 1, 2, 3], &[]), None);
}

#[test]
fn ejected_endpoints_are_left_out_unless_all_are() {
    let pool = pool("dd");
    let eject = |i: usize| {
        for _ in 0..3 {
            pool[i].state.health.failed(NOW);
        }
    };
    eject(0);
    assert_eq!(Case::new(&pool).plan(PROMPT), local(1, Reason::PrefillPoolEmpty));
    eject(1);
    assert!(Case::new(&pool).plan(PROMPT).is_some(), "better a try than a refusal");
}

#[test]
fn a_distrusted_prefill_endpoint_is_not_handed_from_for_a_while() {
    let pool = pool("pd");
    pool[0].state.health.distrust_kv(NOW);
    assert_eq!(Case::new(&pool).plan(PROMPT), local(1, Reason::KvDistrusted));
}

#[test]
fn only_pairs_of_one_group_and_connector() {
    let in_group = |name: &str, role, group: &str| Endpoint {
        group: Some(group.into()),
        ..endpoint(name, role)
    };
    let pool = [
        in_group("p", Role::Prefill, "1"),
        in_group("d", Role::Decoding, "2"),
        in_group("e", Role::Decoding, "1"),
    ];
    let expected = (Plan::Handoff { prefill: 0, decoding: 2 }, Reason::PrefillPhase);
    let all = Pool::from(pool.to_vec());
    assert_eq!(Case::new(&all).plan(PROMPT), Some(expected));
    let strangers = Pool::from(pool[..2].to_vec());
    assert_eq!(Case::new(&strangers).plan(PROMPT), local(1, Reason::NoPair));
    let moves_nothing = Endpoint { connector: Connector::None, ..pool[0].clone() };
    let pool = Pool::from(vec![moves_nothing, pool[2].clone()]);
    assert_eq!(Case::new(&pool).plan(PROMPT), local(1, Reason::NoPair));
}

#[test]
fn an_endpoint_is_left_out_once_it_is_known_not_to_serve_the_model() {
    let pool = pool("dd");
    let demand = Demand { model: Some("llama"), ..PROMPT };
    pool[0].state.set_served(vec![Served {
        id: "mistral".into(),
        parent: None,
        card: "{}".into(),
    }]);
    assert_eq!(Case::new(&pool).plan(demand), local(1, Reason::PrefillPoolEmpty));
    pool[1].state.set_served(Vec::new());
    assert_eq!(Case::new(&pool).plan(demand), None);
}
