//! One endpoint of the lab: an engine, and how it was used.

use std::time::Duration;

use qoe_core::endpoint::exposition::EngineMetrics;
use qoe_core::phase::Role;
use qoe_sim::Engine;
use qoe_sim::engine::EngineConfig;
use qoe_sim::engine::request::Event;

use crate::lab::outcome::Use;
use crate::lab::shape::Node;
use crate::lab::world::prompt::ENGINE_BLOCK;

pub(super) struct Machine {
    pub(super) name: String,
    pub(super) role: Role,
    pub(super) engine: Engine,
    pub(super) alive: bool,
    node: Node,
    busy: Duration,
    step_began: Duration,
    kv_use: (f64, u32),
    /// Of engines before it died.
    before: Use,
}

impl Machine {
    pub(super) fn new(index: usize, node: &Node) -> Self {
        Self {
            name: format!("{}-{index}", node.role.as_str()),
            role: node.role,
            engine: engine(node),
            alive: true,
            node: node.clone(),
            busy: Duration::ZERO,
            step_began: Duration::ZERO,
            kv_use: (0.0, 0),
            before: Use::default(),
        }
    }

    /// Begins a step if there is something to do. When it ends, if one began just now.
    pub(super) fn begin(&mut self, now: Duration) -> Option<Duration> {
        if !self.alive || self.engine.step_ends_at().is_some() {
            return None;
        }
        let end = self.engine.begin_step(now)?;
        self.step_began = now;
        Some(end)
    }

    /// Ends the step in flight.
    pub(super) fn finish(&mut self, now: Duration, events: &mut Vec<Event>) {
        self.busy += now.saturating_sub(self.step_began);
        self.engine.finish_step(events);
    }

    /// All it held is gone; nothing is answered.
    pub(super) fn die(&mut self) {
        self.before = self.counted();
        self.engine = engine(&self.node);
        self.alive = false;
    }

    /// What it would publish.
    pub(super) fn page(&mut self) -> EngineMetrics {
        let pool = self.engine.pool();
        let kv_use = 1.0 - pool.free() as f64 / pool.total() as f64;
        self.kv_use = (self.kv_use.0 + kv_use, self.kv_use.1 + 1);
        let stats = self.engine.stats();
        EngineMetrics {
            running: Some(self.engine.running() as f64),
            waiting: Some(self.engine.waiting().0 as f64),
            kv_use: Some(kv_use),
            kv_capacity_tokens: Some(pool.total() as f64 * f64::from(ENGINE_BLOCK)),
            prefix_queries_total: Some(stats.prefix_cache_queries as f64),
            prefix_hits_total: Some(stats.prefix_cache_hits as f64),
            ..EngineMetrics::default()
        }
    }

    fn counted(&self) -> Use {
        let stats = self.engine.stats();
        Use {
            preemptions: self.before.preemptions + stats.preemptions,
            computed_tokens: self.before.computed_tokens + stats.local_compute,
            written_tokens: self.before.written_tokens + stats.generation_tokens,
            ..Use::default()
        }
    }

    /// Its use over a run of `seconds`.
    pub(super) fn used(&self, seconds: f64) -> Use {
        Use {
            name: self.name.clone(),
            role: self.role.as_str(),
            busy: self.busy.as_secs_f64() / seconds.max(1e-9),
            kv_use: self.kv_use.0 / f64::from(self.kv_use.1.max(1)),
            ..self.counted()
        }
    }
}

fn engine(node: &Node) -> Engine {
    Engine::new(node.profile.clone(), EngineConfig::of(&node.profile))
}
