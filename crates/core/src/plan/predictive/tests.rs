use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::SmallRng;

use crate::endpoint::holds::{Hold, PromptHold};
use crate::endpoint::pool::Pool;
use crate::endpoint::tests::endpoint;
use crate::memory::RouteMemory;
use crate::phase::{Phase, Role};
use crate::plan::choice::{Choice, Plan};
use crate::plan::plan;
use crate::plan::policy::{Policy, Predictive};
use crate::plan::reason::Reason;
use crate::plan::scope::{Demand, HandoffMode, HandoffRule, Scope, Tried};
use crate::speed::work::PromptWork;
use crate::target::Target;

const NOW: Duration = Duration::from_secs(100);

/// A pool with its memory, from one letter each: `p`refill, `d`ecoding, `m`ixed.
struct World {
    pool: Pool,
    memory: RouteMemory,
    cross_phase: bool,
    mode: HandoffMode,
}

impl World {
    fn new(roles: &str) -> Self {
        let role = |c| match c {
            'p' => Role::Prefill,
            'd' => Role::Decoding,
            _ => Role::Mixed,
        };
        let endpoints = roles.chars().enumerate();
        let pool = endpoints.map(|(i, c)| endpoint(&format!("{c}{i}"), role(c))).collect();
        Self { pool, memory: RouteMemory::default(), cross_phase: true, mode: HandoffMode::Auto }
    }

    fn choose(&self, demand: Demand<'_>) -> Choice {
        let scope = Scope {
            pool: &self.pool,
            policy: &Policy::Predictive(Predictive { cross_phase: self.cross_phase }),
            handoff: HandoffRule { mode: self.mode, min_prompt_tokens: 0 },
            memory: &self.memory,
            tried: &Tried::default(),
            now: NOW,
        };
        plan(&scope, &demand, &mut SmallRng::seed_from_u64(1)).expect("there are endpoints")
    }

    /// `count` streams of 1,000 tokens run at an endpoint.
    fn streams(&self, at: usize, count: usize) -> Vec<Hold> {
        (0..count).map(|_| self.pool[at].state.hold(Phase::Decoding, 1000)).collect()
    }

    /// An endpoint has `tokens` to read, and reads about half of its time.
    fn reads(&self, at: usize, tokens: f64) -> PromptHold {
        self.has_read(at, 40, Duration::from_millis(50), (1000.0, Duration::from_millis(27)));
        let work = PromptWork { uncached: tokens, ..PromptWork::default() };
        self.pool[at].state.reads(work, true, &self.memory.models, NOW)
    }

    /// An endpoint has read `count` prompts, one each `every`; each had `tokens` and `took` that time.
    fn has_read(&self, at: usize, count: u32, every: Duration, (tokens, took): (f64, Duration)) {
        let state = &self.pool[at].state;
        for i in 0..count {
            let then = NOW - every * (count + 1 - i);
            let work = PromptWork { uncached: tokens, ..PromptWork::default() };
            let one = state.reads(work, true, &self.memory.models, then);
            one.done(&self.memory.models, then + took);
        }
    }
}

const PROMPT: Demand<'static> = Demand {
    model: None,
    phase: Phase::Prefill,
    prompt_tokens: 2000,
    expected_output_tokens: None,
    output_tokens: 150.0,
    blocks: &[],
    block_tokens: 256.0,
    target: Target { ttft: Duration::from_millis(500), itl: Duration::from_millis(30) },
    waited: Duration::ZERO,
    whole: None,
};

const fn local(endpoint: usize) -> Plan {
    Plan::Local { endpoint }
}

#[test]
fn an_idle_cluster_answers_soonest_without_a_handoff() {
    let choice = World::new("pd").choose(PROMPT);
    assert!(matches!(choice.plan, Plan::Local { .. }), "{choice:?}");
    assert_eq!(choice.reason, Reason::FirstTokenSooner);
    let forecast = choice.forecast.expect("it forecasts");
    assert!(forecast.ttft > 0.0 && forecast.itl > 0.0 && forecast.moved == 0.0, "{forecast:?}");
}

#[test]
fn streams_are_spared_the_prompts_of_others() {
    let world = World { cross_phase: false, ..World::new("pd") };
    let _streams = world.streams(1, 60);
    let choice = world.choose(Demand { prompt_tokens: 6000, ..PROMPT });
    assert_eq!(choice.plan, Plan::Handoff { prefill: 0, decoding: 1 });
    assert_eq!(choice.reason, Reason::StreamsSpared);
    assert!(choice.forecast.is_some_and(|f| f.moved > 5000.0));
}

#[test]
fn a_short_prompt_is_read_beside_streams_and_a_long_one_is_not() {
    let world = World { cross_phase: false, ..World::new("pd") };
    let _streams = world.streams(1, 30);
    let _line = world.reads(0, 2000.0);
    let plan = |prompt_tokens| world.choose(Demand { prompt_tokens, ..PROMPT }).plan;
    assert_eq!(plan(200), local(1), "no pause that anybody notices");
    assert_eq!(plan(3000), Plan::Handoff { prefill: 0, decoding: 1 });
}

#[test]
fn a_very_long_prompt_is_read_where_few_streams_are_though_others_may_come_behind_it() {
    let world = World::new("pd");
    let _streams = world.streams(1, 12);
    let (often, took) = (Duration::from_millis(500), Duration::from_millis(480));
    world.has_read(0, 20, often, (12_000.0, took));
    let target = Target { ttft: Duration::from_secs(5), itl: Duration::from_millis(50) };
    let choice = world.choose(Demand { prompt_tokens: 100_000, target, ..PROMPT });
    let reads = match choice.plan {
        Plan::Local { endpoint } => endpoint,
        Plan::Handoff { prefill, .. } => prefill,
    };
    assert_eq!(reads, 0, "{choice:?}");
}

#[test]
fn no_stream_is_sent_to_who_will_read_for_seconds() {
    let world = World { mode: HandoffMode::Always, ..World::new("pdd") };
    let _streams = world.streams(1, 10);
    assert_eq!(world.choose(PROMPT).plan.answering(), 2, "it has fewer streams");
    let _long = world.reads(2, 200_000.0);
    assert_eq!(world.choose(PROMPT).plan.answering(), 1);
}

#[test]
fn a_line_before_prefill_sends_prompts_elsewhere() {
    let world = World { cross_phase: false, ..World::new("pd") };
    let _streams = world.streams(1, 10);
    let _line = world.reads(0, 60_000.0);
    assert_eq!(world.choose(PROMPT).plan, local(1));
}

#[test]
fn a_conversation_goes_on_where_most_of_it_is_cached() {
    let world = World { cross_phase: false, ..World::new("pdd") };
    let blocks: Vec<u64> = (1..=23).map(|i: u64| i.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    world.memory.prefixes().insert(world.pool[2].state.tag, &blocks);
    let _streams = [world.streams(1, 20), world.streams(2, 20)];
    let choice = world.choose(Demand { prompt_tokens: 6000, blocks: &blocks, ..PROMPT });
    assert_eq!((choice.plan, choice.reason), (local(2), Reason::PrefixCached));
    assert!(choice.forecast.is_some_and(|f| f.cached > 5800.0));
}

#[test]
fn of_two_equal_endpoints_the_one_with_fewer_streams_decodes() {
    let world = World::new("mm");
    let _streams = [world.streams(0, 40), world.streams(1, 20)];
    assert_eq!(world.choose(PROMPT).plan.answering(), 1);
}

#[test]
fn a_prefill_endpoint_serves_whole_requests_only_where_it_may() {
    let loaded = |cross_phase| {
        let world = World { cross_phase, ..World::new("pd") };
        let _streams = world.streams(1, 400);
        world.choose(Demand { prompt_tokens: 100, ..PROMPT }).plan
    };
    assert_eq!(loaded(true), local(0));
    assert_ne!(loaded(false), local(0));
}

#[test]
fn the_routes_rule_goes_before_all_costs() {
    let never = World { mode: HandoffMode::Never, cross_phase: false, ..World::new("pd") };
    let _streams = never.streams(1, 60);
    let choice = never.choose(Demand { prompt_tokens: 6000, ..PROMPT });
    assert_eq!((choice.plan, choice.reason), (local(1), Reason::HandoffNever));
    let always = World { mode: HandoffMode::Always, ..World::new("pd") };
    assert_eq!(always.choose(PROMPT).plan, Plan::Handoff { prefill: 0, decoding: 1 });
}

#[test]
fn a_full_cache_takes_no_more() {
    let world = World { cross_phase: false, ..World::new("pdd") };
    let _streams = [world.streams(1, 5), world.streams(2, 30)];
    for at in [1, 2] {
        world.pool[at].state.signals.kv_capacity.set(40_000.0, NOW);
    }
    world.pool[1].state.signals.kv_use.set(0.99, NOW);
    assert_eq!(world.choose(PROMPT).plan.answering(), 2);
}

#[test]
fn only_a_part_of_a_large_pool_is_looked_at_and_holders_of_the_prompt_are() {
    let world = World { cross_phase: false, ..World::new(&"d".repeat(500)) };
    let blocks = [7_u64 << 40, 8 << 40, 9 << 40, 10 << 40, 11 << 40, 12 << 40, 13 << 40];
    world.memory.prefixes().insert(world.pool[321].state.tag, &blocks);
    let choice = world.choose(Demand { blocks: &blocks, ..PROMPT });
    assert_eq!(choice.plan, local(321));
}
