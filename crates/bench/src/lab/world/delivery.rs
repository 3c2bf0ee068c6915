//! The course of legs: they reach their endpoints, whose engines compute step by step, or they fail.

use qoe_core::ladder::setback::LegFailure;
use qoe_sim::engine::request::{Event as Happened, Request, Source};

use crate::lab::world::event::{Event, JobId, LegId};
use crate::lab::world::legs::{Kind, Leg};
use crate::lab::world::prompt::ENGINE_BLOCK;
use crate::lab::world::state::World;

impl World<'_> {
    pub(super) fn send(&mut self, job: JobId, node: usize, kind: Kind) {
        self.legs.all.push(Leg { job, node, kind, cached: 0, over: false });
        self.at(self.now + self.shape.network, Event::Deliver(self.legs.all.len() - 1));
    }

    /// A leg reaches its endpoint.
    pub(super) fn deliver(&mut self, id: LegId) {
        let leg = self.legs.all[id];
        if self.jobs[leg.job].ended.is_some() {
            return;
        }
        if !self.machines[leg.node].alive {
            return self.at(self.now + self.shape.network, Event::Failed(id));
        }
        let request = self.request(id);
        let engine = &mut self.machines[leg.node].engine;
        match engine.add(self.now, request) {
            Ok(()) => self.kick(leg.node),
            // Longer than the KV cache.
            Err(_) => self.set_back(leg.job, leg.kind, LegFailure::Status(400)),
        }
    }

    fn request(&mut self, id: LegId) -> Request {
        let leg = self.legs.all[id];
        let job = &mut self.jobs[leg.job];
        let prompt = job.made().prompt.clone();
        let mut request = Request::new(id as u64, prompt, job.arrival.output_tokens);
        match leg.kind {
            Kind::Whole => {}
            Kind::Prefill { .. } => {
                request.max_tokens = 1;
                request.source = Source::Produce;
            }
            Kind::Decoding { from } => {
                let machine = &self.machines[leg.node];
                let cached = machine.engine.pool().cached_prefix(&request.prompt.blocks) as u32;
                let moved = request.prompt.tokens.saturating_sub(cached * ENGINE_BLOCK);
                job.moved_tokens += moved;
                let link = self.shape.gigabits_per_second;
                request.source = Source::Pulled {
                    content: request.prompt.chain,
                    transfer: machine.engine.profile().transfer_time(moved, link),
                    remote_cached: self.legs.all[from].cached,
                };
            }
        }
        request
    }

    /// Starts the next step of an engine that has none in flight.
    pub(super) fn kick(&mut self, node: usize) {
        let machine = &mut self.machines[node];
        if let Some(end) = machine.begin(self.now) {
            return self.at(end, Event::StepEnds(node, self.lives[node]));
        }
        if machine.alive
            && machine.engine.step_ends_at().is_none()
            && let Some(at) = machine.engine.wakes_at()
        {
            self.at(at.max(self.now), Event::Wake(node));
        }
    }

    pub(super) fn step_ends(&mut self, node: usize) {
        let mut happened = std::mem::take(&mut self.legs.happened);
        self.machines[node].finish(self.now, &mut happened);
        for event in happened.drain(..) {
            self.happened(event);
        }
        self.legs.happened = happened;
        self.kick(node);
    }

    fn happened(&mut self, event: Happened) {
        match event {
            Happened::PrefillDone { id, prefilled } => {
                self.prompt_is_there(id as LegId, prefilled.cached);
            }
            Happened::Token { id, .. } => self.token(id as LegId),
            Happened::Finished { id, .. } => self.finished(id as LegId),
        }
    }

    fn prompt_is_there(&mut self, id: LegId, cached: u32) {
        let leg = &mut self.legs.all[id];
        leg.cached = cached;
        match leg.kind {
            Kind::Decoding { from } => self.release(from),
            Kind::Whole | Kind::Prefill { .. } => self.jobs[leg.job].cached_tokens = cached,
        }
    }

    fn token(&mut self, id: LegId) {
        let Leg { job, kind, .. } = self.legs.all[id];
        if matches!(kind, Kind::Prefill { .. }) {
            return;
        }
        let job = &mut self.jobs[job];
        let first = !job.has_tokens();
        let gap = job.token(&self.routers[job.router].memory, self.now);
        if let Some(gap) = gap {
            self.legs.gap(gap);
        }
        if first {
            self.answered(self.legs.all[id].job);
        }
    }

    fn finished(&mut self, id: LegId) {
        let leg = &mut self.legs.all[id];
        leg.over = true;
        let (job, node) = (leg.job, leg.node);
        match leg.kind {
            Kind::Prefill { .. } => {
                self.at(self.now + self.shape.network, Event::Prefilled(id));
            }
            Kind::Whole | Kind::Decoding { .. } => {
                let router = self.jobs[job].router;
                self.routers[router].pool[node].state.health.succeeded();
                self.end(job, true);
                self.pump(router);
            }
        }
    }

    /// A router hears that the prefill leg is over, and sends the decoding leg.
    pub(super) fn prefilled(&mut self, id: LegId) {
        let Leg { job, node, kind, .. } = self.legs.all[id];
        let Kind::Prefill { decoding } = kind else { return };
        if self.jobs[job].ended.is_some() {
            return;
        }
        let now = self.now;
        let router = self.jobs[job].router;
        let replica = &self.routers[router];
        let flight = &mut self.jobs[job].flight;
        flight.prefill_done(&replica.pool[node].state, &replica.memory, now);
        flight.sent(&replica.memory, now);
        self.send(job, decoding, Kind::Decoding { from: id });
        self.pump(router);
    }

    /// A router hears that a leg has failed.
    pub(super) fn failed(&mut self, id: LegId) {
        let Leg { job, node, kind, .. } = self.legs.all[id];
        if self.jobs[job].ended.is_some() {
            return;
        }
        if self.jobs[job].has_tokens() {
            let router = self.jobs[job].router;
            self.routers[router].pool[node].state.health.failed(self.now);
            self.end(job, false);
            return self.pump(router);
        }
        self.set_back(job, kind, LegFailure::NoAnswer);
    }

    /// The KV that a prefill leg left goes: it has been fetched, or never will be.
    pub(super) fn release(&mut self, prefill: LegId) {
        let node = self.legs.all[prefill].node;
        self.machines[node].engine.release(prefill as u64);
        self.kick(node);
    }

    /// An endpoint dies with all that is on it.
    pub(super) fn dies(&mut self, node: usize) {
        self.machines[node].die();
        self.lives[node] += 1;
        let at = self.now + self.shape.network;
        let lost = |(id, leg): (LegId, &mut Leg)| {
            (leg.node == node && !std::mem::replace(&mut leg.over, true)).then_some(id)
        };
        let lost: Vec<LegId> = self.legs.all.iter_mut().enumerate().filter_map(lost).collect();
        for id in lost {
            self.at(at, Event::Failed(id));
        }
    }
}
