//! The world of the lab: routers, engines and requests, event by event in virtual time.
//!
//! Routers decide by the product's own code, admission and the fallback ladder included, and engines compute by the
//! simulator's own model; what is made up here is the network between them, the times at which routers look at
//! endpoints, and the faults. Nothing reads a clock, and one seed gives one run.
//!
//! ```text
//! arrive → (queue) → plan → deliver → step … step → tokens → end
//!            turn     │ ▲      legs                    │
//!                     │ └ attempts: the next plan ◀ failed
//!                     └→ prefill leg → step … → transfer ┘
//! ```

mod attempts;
mod course;
mod job;
mod legs;
mod machine;
mod prompt;
mod replica;
mod turn;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use qoe_core::admit::room::OnUnattainable;
use qoe_core::plan::policy::Policy;
use qoe_core::plan::scope::HandoffRule;

use crate::lab::arrival::Arrival;
use crate::lab::draw::mix;
use crate::lab::outcome::Run;
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
    /// What becomes of requests that cannot be given what they were promised.
    pub on_unattainable: OnUnattainable,
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
            Event::Tick(router) => self.tick(router),
            Event::Dies(node) => self.dies(node),
            Event::Returns(node) => self.machines[node].alive = true,
            Event::Second => self.second(),
        }
    }

    /// A request is over.
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

#[cfg(test)]
mod tests;
