//! A cluster at work, for what is measured of planning: endpoints whose speed is learned, with requests in flight.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::exposition::EngineMetrics;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::scraped::Counters;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::flight::{Cargo, Flight};
use qoe_core::memory::RouteMemory;
use qoe_core::phase::{Phase, Role, RoleSource};
use qoe_core::plan::policy::Policy;
use qoe_core::plan::scope::{Demand, HandoffMode, HandoffRule, Scope, Tried};
use qoe_core::target::Target;

/// Blocks of the prompt that is planned for: 2,048 tokens.
pub(crate) const BLOCKS: [u64; 8] = [11, 12, 13, 14, 15, 16, 17, 18];
/// The number of blocks that are known to be cached, and the number of endpoints that hold them.
const KNOWN: usize = 3;
const HOLDERS: usize = 10;
const BLOCK_TOKENS: f64 = 256.0;
/// Requests from which each decoding endpoint's speed was learned, and those in flight there now.
const LEARNED_FROM: usize = 12;
const IN_FLIGHT: usize = 5;

/// The cluster.
pub(crate) struct Cluster {
    /// Four of ten for prefill, the others for decoding.
    pub(crate) pool: Pool,
    /// What was learned.
    pub(crate) memory: RouteMemory,
    /// Nobody was tried in vain.
    pub(crate) tried: Tried,
    /// Now.
    pub(crate) now: Duration,
    /// Requests in flight; they hold their places.
    pub(crate) flights: Vec<Flight>,
}

impl Cluster {
    /// A cluster of `endpoints`, four prefill endpoints to six that decode.
    pub(crate) fn of(endpoints: usize) -> Self {
        let role = |i| if i % 10 < 4 { Role::Prefill } else { Role::Decoding };
        let pool: Pool = (0..endpoints).map(|i| endpoint(&format!("pod-{i}"), role(i))).collect();
        let now = Duration::from_secs(60);
        let (memory, tried) = (RouteMemory::default(), Tried::default());
        let mut cluster = Self { pool, memory, tried, now, flights: Vec::new() };
        cluster.warm_up();
        cluster
    }

    fn warm_up(&mut self) {
        let (readers, writers) = (self.of_role(Role::Prefill), self.of_role(Role::Decoding));
        for (i, writer) in writers.iter().enumerate() {
            for turn in 0..LEARNED_FROM {
                let reader = &readers[(i + turn) % readers.len()];
                let tokens = 300 + 400 * (turn as u64 % 7);
                let mut flight = self.begun(reader, writer, tokens);
                for _ in 0..40 {
                    self.now += Duration::from_millis(9);
                    flight.streamed(1, &self.memory, self.now);
                }
                flight.answered(&self.memory, self.now);
            }
        }
        for (i, writer) in writers.iter().enumerate() {
            for turn in 0..IN_FLIGHT {
                let reader = &readers[(i + turn) % readers.len()];
                let flight = self.begun(reader, writer, 1_000 + i as u64 % 900);
                self.flights.push(flight);
            }
        }
        for endpoint in self.pool.iter() {
            let page = EngineMetrics {
                running: Some(6.0),
                waiting: Some(0.0),
                kv_use: Some(0.3),
                kv_capacity_tokens: Some(432_000.0),
                ..EngineMetrics::default()
            };
            endpoint.state.scraped(&page, &mut Counters::default(), self.now);
        }
        let holders = self.pool.iter().step_by(self.pool.len().div_ceil(HOLDERS));
        for holder in holders {
            self.memory.prefixes().insert(holder.state.tag, &BLOCKS[..KNOWN]);
        }
    }

    fn of_role(&self, role: Role) -> Vec<Arc<EndpointState>> {
        self.pool.of_role(role).iter().map(|i| Arc::clone(&self.pool[*i].state)).collect()
    }

    /// A request that was handed over, up to its first token.
    fn begun(
        &mut self,
        reader: &Arc<EndpointState>,
        writer: &Arc<EndpointState>,
        prompt_tokens: u64,
    ) -> Flight {
        let cargo = Cargo {
            prompt_tokens,
            output_tokens: 150.0,
            block_tokens: BLOCK_TOKENS,
            streamed: true,
        };
        let mut flight = Flight::new(Target::default(), cargo, self.now);
        flight.planned(Some(reader), writer, None, &[], &self.memory, self.now);
        flight.prefill_sent(self.now);
        self.now += Duration::from_micros(6_000 + 20 * prompt_tokens);
        flight.prefill_done(reader, &self.memory, self.now);
        flight.sent(&self.memory, self.now);
        self.now += Duration::from_micros(9_000 + 2 * prompt_tokens);
        flight.streamed(1, &self.memory, self.now);
        flight
    }

    /// What is planned over, by a policy.
    pub(crate) fn scope<'a>(&'a self, policy: &'a Policy) -> Scope<'a> {
        let handoff = HandoffRule { mode: HandoffMode::Auto, min_prompt_tokens: 0 };
        let Self { pool, memory, tried, now, .. } = self;
        Scope { pool, policy, handoff, memory, tried, now: *now }
    }
}

/// A prompt of eight blocks; three of them are known.
pub(crate) fn demand() -> Demand<'static> {
    Demand {
        model: None,
        phase: Phase::Prefill,
        prompt_tokens: 2_048,
        expected_output_tokens: None,
        output_tokens: 150.0,
        blocks: &BLOCKS,
        block_tokens: BLOCK_TOKENS,
        target: Target::default(),
        waited: Duration::ZERO,
        whole: None,
    }
}

fn endpoint(name: &str, role: Role) -> Endpoint {
    Endpoint {
        state: Arc::new(EndpointState::new(name, name)),
        role,
        role_source: RoleSource::Label,
        connector: Connector::NixlPull,
        group: None,
    }
}
