//! One router of the lab: what it knows of the endpoints, and its queue.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::admit::queue::Queue;
use qoe_core::admit::step::Outlook;
use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::scraped::Counters;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::ladder::RouteFacts;
use qoe_core::memory::RouteMemory;
use qoe_core::memory::budget::Budget;
use qoe_core::phase::RoleSource;
use qoe_core::plan::choice::Choice;
use qoe_core::target::Target;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::lab::world::event::JobId;
use crate::lab::world::machine::Machine;
use crate::lab::world::prompt::ROUTER_BLOCK;

pub(super) struct Replica {
    pub(super) pool: Pool,
    pub(super) memory: RouteMemory,
    pub(super) budget: Budget,
    pub(super) queue: Queue<JobId>,
    pub(super) rng: Xoshiro256PlusPlus,
    counters: Vec<Counters>,
    /// When the first one in the queue looks, if nothing wakes it before.
    pub(super) looks_at: Duration,
    /// There is an event for that, or for an earlier moment.
    pub(super) tick_due: bool,
}

impl Replica {
    pub(super) fn new(machines: &[Machine], most_queued: usize, seed: u64) -> Self {
        let endpoint = |machine: &Machine| Endpoint {
            state: Arc::new(EndpointState::new(&machine.name, &machine.name)),
            role: machine.role,
            role_source: RoleSource::Label,
            connector: Connector::NixlPull,
            group: None,
        };
        Self {
            pool: machines.iter().map(endpoint).collect(),
            memory: RouteMemory::default(),
            budget: Budget::default(),
            queue: Queue::new(most_queued),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            counters: vec![Counters::default(); machines.len()],
            looks_at: Duration::ZERO,
            tick_due: false,
        }
    }

    /// What decides whether a request with this plan begins.
    pub(super) fn outlook<'a>(
        &'a self,
        choice: Option<&'a Choice>,
        target: Target,
        now: Duration,
    ) -> Outlook<'a> {
        Outlook { choice, pool: &self.pool, target, arrivals: &self.memory.arrivals, now }
    }

    /// What fallback ladders need to know.
    pub(super) fn facts(&self, now: Duration) -> RouteFacts<'_> {
        RouteFacts { pool: &self.pool, budget: &self.budget, now }
    }

    /// Looks at what an endpoint publishes.
    pub(super) fn scrape(&mut self, at: usize, machine: &mut Machine, now: Duration) {
        let page = machine.page();
        let state = &self.pool[at].state;
        state.scraped(&page, &mut self.counters[at], now);
        if let Some(capacity) = page.kv_capacity_tokens {
            let blocks = (capacity / f64::from(ROUTER_BLOCK)) as u32;
            self.memory.prefixes().set_capacity(state.tag, blocks);
        }
    }
}
