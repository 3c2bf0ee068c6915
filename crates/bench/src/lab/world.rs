//! The world of the lab: routers, engines and requests, event by event in virtual time.
//!
//! Routers decide by the product's own code and engines compute by the simulator's own model; what is made up here is
//! the network between them, the times at which routers look at endpoints, and the faults. Nothing reads a clock, and
//! one seed gives one run.
//!
//! ```text
//! arrive → (queue) → plan → deliver → step … step → tokens → end
//!                       └→ prefill leg → step … → transfer ┘
//! ```

mod course;
mod job;
mod legs;
mod machine;
mod prompt;
mod replica;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use qoe_core::admit::ask::Ask;
use qoe_core::admit::room::Prospect;
use qoe_core::plan::choice::{Choice, Plan};
use qoe_core::plan::forecast::Forecast;
use qoe_core::plan::plan;
use qoe_core::plan::policy::Policy;
use qoe_core::plan::reason::Reason;
use qoe_core::plan::scope::{HandoffRule, Scope};

use crate::lab::arrival::Arrival;
use crate::lab::draw::mix;
use crate::lab::outcome::{REFUSED, Run};
use crate::lab::shape::Shape;
use crate::lab::world::course::Course;
use crate::lab::world::job::Job;
use crate::lab::world::legs::Legs;
use crate::lab::world::machine::Machine;
use crate::lab::world::replica::Replica;

/// How requests are served: all that a route's configuration says of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rules {
    /// Who is chosen.
    pub policy: Policy,
    /// When the phases are parted.
    pub handoff: HandoffRule,
    /// Requests that may wait in each router; 0: none waits there, all are sent on at once.
    pub queue: usize,
    /// Those that cannot be given what they were promised are refused.
    pub reject_unattainable: bool,
}

type JobId = usize;

/// What happens at a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    Arrive(JobId),
    /// A leg reaches its endpoint.
    Deliver(legs::LegId),
    /// The step in flight ends; of the engine's life so many.
    StepEnds(usize, u32),
    /// An idle engine has something to do by itself.
    Wake(usize),
    /// A router hears that the prefill leg is over.
    Prefilled(legs::LegId),
    /// A router hears that a leg has failed.
    Failed(legs::LegId),
    Scrape(usize, usize),
    /// A router looks at its queue.
    Tick(usize),
    Dies(usize),
    Returns(usize),
    /// A second has passed.
    Second,
}

/// A queue that nothing else moves is looked at this often.
const TICK: Duration = Duration::from_millis(10);
/// Requests that are looked at before a queue rests.
const LOOKED_AT: usize = 16;
/// After the last arrival, so long until what has not ended is lost.
const PATIENCE: Duration = Duration::from_secs(600);

/// Plays `arrivals` on `shape` by `rules`.
#[must_use]
pub fn play(shape: &Shape, rules: &Rules, arrivals: &[Arrival], seed: u64) -> Run {
    let mut world = World::new(shape, rules, arrivals, seed);
    world.run();
    world.result()
}

struct World<'a> {
    shape: &'a Shape,
    rules: &'a Rules,
    arrivals: &'a [Arrival],
    seed: u64,
    now: Duration,
    events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    sequence: u64,
    machines: Vec<Machine>,
    lives: Vec<u32>,
    routers: Vec<Replica>,
    jobs: Vec<Job<'a>>,
    legs: Legs,
    open: usize,
    course: Course,
}

impl<'a> World<'a> {
    fn new(shape: &'a Shape, rules: &'a Rules, arrivals: &'a [Arrival], seed: u64) -> Self {
        let machines: Vec<_> =
            shape.nodes.iter().enumerate().map(|(i, node)| Machine::new(i, node)).collect();
        let routers = (0..shape.routers.max(1))
            .map(|i| Replica::new(&machines, rules.queue, mix(seed, 100 + i as u64)))
            .collect();
        Self {
            shape,
            rules,
            arrivals,
            seed,
            now: Duration::ZERO,
            events: BinaryHeap::new(),
            sequence: 0,
            lives: vec![0; machines.len()],
            machines,
            routers,
            jobs: Vec::with_capacity(arrivals.len()),
            legs: Legs::default(),
            open: 0,
            course: Course::default(),
        }
    }

    fn run(&mut self) {
        self.begin();
        let end = self.arrivals.last().map_or(Duration::ZERO, |last| last.at) + PATIENCE;
        while let Some(Reverse((at, _, event))) = self.events.pop() {
            if at > end || (self.open == 0 && self.jobs.len() == self.arrivals.len()) {
                break;
            }
            self.now = at;
            self.happens(event);
        }
    }

    fn begin(&mut self) {
        if !self.arrivals.is_empty() {
            self.at(self.arrivals[0].at, Event::Arrive(0));
        }
        self.at(Duration::from_secs(1), Event::Second);
        for (i, node) in self.shape.nodes.iter().enumerate() {
            for router in 0..self.routers.len() {
                // Each look at another moment, as chance has it.
                let share = mix(self.seed, (router * 1000 + i) as u64) as f64 / u64::MAX as f64;
                self.at(self.shape.scrape_every.mul_f64(share), Event::Scrape(router, i));
            }
            if let Some((dies, back)) = node.dies {
                self.at(dies, Event::Dies(i));
                self.at(back, Event::Returns(i));
            }
        }
    }

    fn at(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrive(job) => self.arrive(job),
            Event::Deliver(leg) => self.deliver(leg),
            Event::StepEnds(node, life) if self.lives[node] == life => self.step_ends(node),
            Event::StepEnds(..) => {}
            Event::Wake(node) => self.kick(node),
            Event::Prefilled(leg) => self.prefilled(leg),
            Event::Failed(leg) => self.failed(leg),
            Event::Scrape(router, node) => self.scrape(router, node),
            Event::Tick(router) => {
                self.routers[router].tick_due = false;
                self.pump(router);
            }
            Event::Dies(node) => self.dies(node),
            Event::Returns(node) => self.machines[node].alive = true,
            Event::Second => self.second(),
        }
    }

    fn arrive(&mut self, id: JobId) {
        if let Some(next) = self.arrivals.get(id + 1) {
            self.at(next.at, Event::Arrive(id + 1));
        }
        let router = (mix(self.seed, 7_000_000 + id as u64) % self.routers.len() as u64) as usize;
        let job = Job::new(&self.arrivals[id], router, &self.routers[router].memory);
        self.jobs.push(job);
        self.open += 1;
        if self.rules.queue == 0 {
            return self.dispatch(id);
        }
        let priority = self.arrivals[id].priority;
        self.routers[router].memory.arrivals.note(priority, self.now);
        let ask = self.ask(id);
        let now = self.now;
        if let Err(shed) = self.routers[router].queue.push(id, ask, now) {
            self.refuse(shed.0);
        }
        self.pump(router);
    }

    fn ask(&self, id: JobId) -> Ask {
        let Job { arrival, router, .. } = &self.jobs[id];
        let speed = self.routers[*router].memory.models.speed();
        let work = qoe_core::speed::work::PromptWork {
            uncached: f64::from(arrival.prompt_tokens()),
            ..Default::default()
        };
        Ask::new(arrival.priority, arrival.at, arrival.target, speed.prefill(work))
    }

    /// Sends on who is next in a router's queue, while there is room.
    fn pump(&mut self, router: usize) {
        let now = self.now;
        if self.rules.reject_unattainable {
            for job in self.routers[router].queue.unattainable(now) {
                self.refuse(job);
            }
        }
        for _ in 0..self.routers[router].queue.len().min(LOOKED_AT) {
            let Some(&job) = self.routers[router].queue.next(now) else { break };
            let choice = self.choose(job);
            let forecast = choice.as_ref().and_then(|choice| choice.forecast);
            match forecast.map_or(Prospect::Room, |forecast| self.weigh(job, &forecast)) {
                Prospect::Late => continue,
                Prospect::Wait => break,
                Prospect::Room => {}
            }
            self.routers[router].queue.take(now);
            self.carry_out(job, choice);
        }
        let replica = &mut self.routers[router];
        if !replica.queue.is_empty() && !std::mem::replace(&mut replica.tick_due, true) {
            self.at(now + TICK, Event::Tick(router));
        }
    }

    /// What becomes of the next one in a queue; where nothing is in flight there is nothing to wait for.
    fn weigh(&mut self, job: JobId, forecast: &Forecast) -> Prospect {
        let Job { arrival, router, .. } = &self.jobs[job];
        let Replica { pool, queue, memory, .. } = &mut self.routers[*router];
        match pool.iter().all(|endpoint| endpoint.state.ledger.in_flight_all() == 0) {
            true => Prospect::Room,
            false => queue.weigh(forecast, arrival.target, &memory.arrivals, self.now),
        }
    }

    fn dispatch(&mut self, job: JobId) {
        let choice = self.choose(job);
        self.carry_out(job, choice);
    }

    fn choose(&mut self, id: JobId) -> Option<Choice> {
        let job = &self.jobs[id];
        let Replica { pool, memory, rng, .. } = &mut self.routers[job.router];
        let scope = Scope {
            pool,
            policy: &self.rules.policy,
            handoff: self.rules.handoff,
            memory,
            tried: &job.tried,
            now: self.now,
        };
        plan(&scope, &job.demand(self.now), rng)
    }

    fn carry_out(&mut self, id: JobId, choice: Option<Choice>) {
        let Some(choice) = choice else { return self.end(id, false) };
        let now = self.now;
        let job = &mut self.jobs[id];
        let Replica { pool, memory, .. } = &self.routers[job.router];
        let blocks = job.made.as_ref().map_or(&[][..], |made| &made.blocks);
        job.dispatched.get_or_insert(now);
        job.choice = Some(choice);
        let forecast = choice.forecast;
        match choice.plan {
            Plan::Local { endpoint } => {
                let to = &pool[endpoint].state;
                job.flight.planned(None, to, forecast, blocks, memory, now);
                job.flight.sent(memory, now);
                self.send(id, endpoint, legs::Kind::Whole);
            }
            Plan::Handoff { prefill, decoding } => {
                let (from, to) = (&pool[prefill].state, &pool[decoding].state);
                job.flight.planned(Some(from), to, forecast, blocks, memory, now);
                job.flight.prefill_sent(now);
                self.send(id, prefill, legs::Kind::Prefill { decoding });
            }
        }
    }

    fn refuse(&mut self, id: JobId) {
        self.jobs[id].refused = Some(REFUSED);
        self.end(id, false);
    }

    fn end(&mut self, id: JobId, whole: bool) {
        let now = self.now;
        let job = &mut self.jobs[id];
        if job.ended.is_none() {
            job.end(whole, &self.routers[job.router].memory, now);
            self.open -= 1;
        }
    }

    fn scrape(&mut self, router: usize, node: usize) {
        if self.machines[node].alive {
            let machine = &mut self.machines[node];
            self.routers[router].scrape(node, machine, self.now);
        }
        self.at(self.now + self.shape.scrape_every, Event::Scrape(router, node));
    }

    fn second(&mut self) {
        let queued = self.routers.iter().map(|router| router.queue.len() as u32).sum();
        let target = self.jobs.last().map(|job| job.arrival.target);
        self.course.note(self.now, queued, self.open as u32 - queued, &self.routers, target);
        self.at(self.now + Duration::from_secs(1), Event::Second);
    }

    fn result(self) -> Run {
        let end = self.now;
        let arrivals_seconds = self.arrivals.last().map_or(0.0, |last| last.at.as_secs_f64());
        Run {
            seconds: end.as_secs_f64(),
            arrivals_seconds,
            outcomes: self.jobs.iter().map(|job| job.outcome(end)).collect(),
            uses: self.machines.iter().map(|m| m.used(end.as_secs_f64())).collect(),
            gaps: self.legs.gaps(),
            moments: self.course.moments,
        }
    }
}

/// Why a request is served whole after its handoff came to nothing.
const AFTER_FAILURE: Reason = Reason::HandoffFailed;

#[cfg(test)]
mod tests;
