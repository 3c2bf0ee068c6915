//! The world of the lab: routers, engines and requests, event by event in virtual time.
//!
//! Routers decide by the product's own code, admission and the fallback ladder included, and engines compute by the
//! simulator's own model; what is made up here is the network between them, the times at which routers look at
//! endpoints, and the faults. Nothing reads a clock, and one seed gives one run.
//!
//! ```text
//! arrive → (queue) → plan → deliver → step … step → tokens → end
//!            turn     │ ▲    delivery                  │
//!                     │ └ attempts: the next plan ◀ failed
//!                     └→ prefill leg → step … → transfer ┘
//! ```

mod attempts;
mod course;
mod delivery;
mod event;
mod job;
mod legs;
mod machine;
mod prompt;
mod replica;
pub mod rules;
mod state;
mod turn;

use std::cmp::Reverse;
use std::time::Duration;

use crate::lab::arrival::Arrival;
use crate::lab::draw::mix;
use crate::lab::outcome::Run;
use crate::lab::shape::Shape;
use crate::lab::world::event::Event;
use crate::lab::world::rules::Rules;
use crate::lab::world::state::World;

/// After this time since the last arrival, unfinished requests count as lost.
const PATIENCE: Duration = Duration::from_secs(600);

/// Plays `arrivals` on `shape` by `rules`.
#[must_use]
pub fn play(shape: &Shape, rules: &Rules, arrivals: &[Arrival], seed: u64) -> Run {
    let mut world = World::new(shape, rules, arrivals, seed);
    world.run();
    world.result()
}

impl World<'_> {
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
