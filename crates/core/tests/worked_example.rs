//! The choice of `Predictive` that `docs/policies.md` works through: its forecasts and its outcome are those of the code.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::holds::Hold;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::memory::RouteMemory;
use qoe_core::phase::{Phase, Role, RoleSource};
use qoe_core::plan::choice::{Choice, Plan};
use qoe_core::plan::forecast::Forecast;
use qoe_core::plan::plan;
use qoe_core::plan::policy::{Policy, Predictive};
use qoe_core::plan::reason::Reason;
use qoe_core::plan::scope::{Demand, HandoffMode, HandoffRule, Scope, Tried};
use qoe_core::speed::work::PromptWork;
use qoe_core::target::Target;
use rand::SeedableRng;
use rand::rngs::SmallRng;

const NOW: Duration = Duration::from_secs(100);
const PREFILL: usize = 0;
const DECODING: usize = 1;

/// One prefill endpoint that is sent five prompts of 1,000 tokens a second, and one decoding endpoint with 20 streams of
/// 1,000 tokens. Nothing is learned: their speed is the prior.
struct Scene {
    pool: Pool,
    memory: RouteMemory,
    _streams: Vec<Hold>,
}

impl Scene {
    fn new() -> Self {
        let endpoint = |name: &str, role| Endpoint {
            state: Arc::new(EndpointState::new(name, "127.0.0.1:1")),
            role,
            role_source: RoleSource::Label,
            connector: Connector::NixlPull,
            group: None,
        };
        let pool: Pool = [("prefill-0", Role::Prefill), ("decoding-0", Role::Decoding)]
            .into_iter()
            .map(|(name, role)| endpoint(name, role))
            .collect();
        let memory = RouteMemory::default();
        let prompt = PromptWork { uncached: 1000.0, ..PromptWork::default() };
        for i in 0..300 {
            let then = NOW - Duration::from_millis(200) * (300 - i);
            pool[PREFILL].state.pace.prompt_passes(prompt, &memory.models, then);
        }
        let stream = |_| pool[DECODING].state.hold(Phase::Decoding, 1000);
        let _streams = (0..20).map(stream).collect();
        Self { pool, memory, _streams }
    }

    fn choose(&self, prompt_tokens: u64, mode: HandoffMode, cross_phase: bool) -> Choice {
        let demand = Demand {
            model: None,
            phase: Phase::Prefill,
            prompt_tokens,
            expected_output_tokens: None,
            output_tokens: 200.0,
            blocks: &[],
            block_tokens: 256.0,
            target: Target::default(),
            waited: Duration::ZERO,
            whole: None,
        };
        let scope = Scope {
            pool: &self.pool,
            policy: &Policy::Predictive(Predictive { cross_phase }),
            handoff: HandoffRule { mode, min_prompt_tokens: 0 },
            memory: &self.memory,
            tried: &Tried::default(),
            now: NOW,
        };
        plan(&scope, &demand, &mut SmallRng::seed_from_u64(1)).expect("two endpoints")
    }
}

/// `95.4 ms | 9.6 ms`: TTFT and ITL as the document writes them.
fn cells(choice: &Choice) -> String {
    let Forecast { ttft, itl, .. } = choice.forecast.expect("`Predictive` forecasts");
    format!("{:.1} ms | {:.1} ms", ttft * 1e3, itl * 1e3)
}

#[test]
fn the_worked_example_of_the_documentation_is_what_the_code_does() {
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policies.md");
    let document = std::fs::read_to_string(document).expect("docs/policies.md");
    let scene = Scene::new();
    for prompt_tokens in [500, 4000] {
        // Each plan on its own: the route's rules leave no other.
        let whole = scene.choose(prompt_tokens, HandoffMode::Never, false);
        let handoff = scene.choose(prompt_tokens, HandoffMode::Always, true);
        for (plan, choice) in [("whole on `decoding-0`", whole), ("handoff", handoff)] {
            let row = format!("| {plan} | {}", cells(&choice));
            assert!(document.contains(&row), "docs/policies.md lacks `{row}`");
        }
    }
    let long = scene.choose(4000, HandoffMode::Auto, true);
    let handoff = Plan::Handoff { prefill: PREFILL, decoding: DECODING };
    assert_eq!((long.plan, long.reason), (handoff, Reason::StreamFaster));
    let short = scene.choose(500, HandoffMode::Auto, true);
    let whole = Plan::Local { endpoint: DECODING };
    assert_eq!((short.plan, short.reason), (whole, Reason::StreamsSpared));
}
