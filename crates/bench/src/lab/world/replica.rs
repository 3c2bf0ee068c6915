//! One router of the lab: what it knows of the endpoints, and who waits in it.

use std::sync::Arc;
use std::time::Duration;

use qoe_core::admit::queue::Queue;
use qoe_core::endpoint::Endpoint;
use qoe_core::endpoint::connector::Connector;
use qoe_core::endpoint::pool::Pool;
use qoe_core::endpoint::scraped::Counters;
use qoe_core::endpoint::state::EndpointState;
use qoe_core::memory::RouteMemory;
use qoe_core::phase::RoleSource;
use rand::SeedableRng;
use rand::rngs::Xoshiro256PlusPlus;

use crate::lab::world::JobId;
use crate::lab::world::machine::Machine;
use crate::lab::world::prompt::ROUTER_BLOCK;

pub(super) struct Replica {
    pub(super) pool: Pool,
    pub(super) memory: RouteMemory,
    pub(super) queue: Queue<JobId>,
    pub(super) rng: Xoshiro256PlusPlus,
    counters: Vec<Counters>,
    /// A look at the queue is due already.
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
            queue: Queue::new(most_queued),
            rng: Xoshiro256PlusPlus::seed_from_u64(seed),
            counters: vec![Counters::default(); machines.len()],
            tick_due: false,
        }
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
