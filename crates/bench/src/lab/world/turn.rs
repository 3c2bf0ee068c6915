//! Admission in a router of the lab, by the steps of `core::admit`.
//!
//! The product's workers look at a queue when they are woken; here a router looks at once.

use qoe_core::admit::ask::Ask;
use qoe_core::admit::step::{Arrival, Outlook, TICK, Verdict, arrive};
use qoe_core::plan::choice::Choice;
use qoe_core::speed::work::PromptWork;

use crate::lab::draw::mix;
use crate::lab::outcome::REFUSED;
use crate::lab::world::event::{Event, JobId};
use crate::lab::world::job::Job;
use crate::lab::world::prompt::ROUTER_BLOCK;
use crate::lab::world::replica::Replica;
use crate::lab::world::state::World;

impl World<'_> {
    /// A request arrives at one of the routers.
    pub(super) fn arrive(&mut self, id: JobId) {
        if let Some(next) = self.arrivals.get(id + 1) {
            self.at(next.at, Event::Arrive(id + 1));
        }
        let router = (mix(self.seed, 7_000_000 + id as u64) % self.routers.len() as u64) as usize;
        self.routers[router].budget.earn();
        self.jobs.push(Job::new(&self.arrivals[id], router, &self.routers[router].memory));
        self.open += 1;
        if self.rules.queue == 0 {
            let choice = self.choose(id);
            return self.carry_out(id, choice);
        }
        self.routers[router].memory.arrivals.note(self.arrivals[id].priority, self.now);
        let empty = self.routers[router].queue.is_empty();
        let now = self.now;
        match arrive(self.rules.on_unattainable, empty, || self.ask(id).attainable(now)) {
            Arrival::Refuse(_) => self.refuse(id),
            Arrival::MayBegin if self.begins_at_once(id) => {}
            Arrival::MayBegin | Arrival::Queue => self.enter(id),
        }
    }

    fn begins_at_once(&mut self, id: JobId) -> bool {
        let choice = self.choose(id);
        let Job { arrival, router, .. } = &self.jobs[id];
        let outlook = self.routers[*router].outlook(choice.as_ref(), arrival.target, self.now);
        let goes = outlook.at_once(arrival.priority) == Verdict::Go;
        if goes {
            self.carry_out(id, choice);
        }
        goes
    }

    fn enter(&mut self, id: JobId) {
        let ask = self.ask(id);
        let (router, now) = (self.jobs[id].router, self.now);
        if let Err(shed) = self.routers[router].queue.push(id, ask, now) {
            self.refuse(shed.item);
            return self.pump(router);
        }
        // Behind others it sleeps until it is woken.
        if self.routers[router].queue.next(now) == Some(&id) {
            self.pump(router);
        }
    }

    fn ask(&self, id: JobId) -> Ask {
        let job = &self.jobs[id];
        let memory = &self.routers[job.router].memory;
        let prompt_tokens = u64::from(job.arrival.prompt_tokens());
        let blocks = &job.made().blocks;
        let uncached = memory.uncached(prompt_tokens, blocks, f64::from(ROUTER_BLOCK));
        let work = PromptWork { uncached, ..PromptWork::default() };
        let arrival = job.arrival;
        Ask::new(arrival.priority, arrival.at, arrival.target, memory.models.speed().prefill(work))
    }

    /// There may be room: the first one looks, and whoever is first then, until one has to wait.
    pub(super) fn pump(&mut self, router: usize) {
        let now = self.now;
        loop {
            for shed in
                self.routers[router].queue.shed_unattainable(self.rules.on_unattainable, now)
            {
                self.refuse(shed.item);
            }
            let Some(&first) = self.routers[router].queue.next(now) else { return };
            let choice = self.choose(first);
            match self.step(first, choice.as_ref()) {
                Verdict::Go => self.carry_out(first, choice),
                Verdict::Late => {}
                Verdict::Wait => return self.look_again(router),
            }
        }
    }

    /// What admission says of the best plan of the first one.
    fn step(&mut self, id: JobId, choice: Option<&Choice>) -> Verdict {
        let Job { arrival, router, .. } = &self.jobs[id];
        let Replica { queue, pool, memory, .. } = &mut self.routers[*router];
        let (arrivals, target, now) = (&memory.arrivals, arrival.target, self.now);
        queue.step(|first| *first == id, &Outlook { choice, pool, target, arrivals, now })
    }

    /// The first one looks again a tick from now, if nothing wakes it before.
    fn look_again(&mut self, router: usize) {
        let at = self.now + TICK;
        let replica = &mut self.routers[router];
        replica.looks_at = at;
        if !std::mem::replace(&mut replica.tick_due, true) {
            self.at(at, Event::Tick(router));
        }
    }

    /// A tick is over: the first one looks, if nothing has woken it meanwhile.
    pub(super) fn tick(&mut self, router: usize) {
        let replica = &mut self.routers[router];
        let at = replica.looks_at;
        replica.tick_due = self.now < at;
        match replica.tick_due {
            true => self.at(at, Event::Tick(router)),
            false => self.pump(router),
        }
    }

    fn refuse(&mut self, id: JobId) {
        self.jobs[id].refused = Some(REFUSED);
        self.end(id, false);
    }
}
