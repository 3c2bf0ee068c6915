//! All that there is at one moment of a run.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Duration;

use crate::lab::arrival::Arrival;
use crate::lab::draw::mix;
use crate::lab::shape::Shape;
use crate::lab::world::course::Course;
use crate::lab::world::event::{Event, JobId};
use crate::lab::world::job::Job;
use crate::lab::world::legs::Legs;
use crate::lab::world::machine::Machine;
use crate::lab::world::replica::Replica;
use crate::lab::world::rules::Rules;

/// The state of a run. What changes it stands in the files beside this one.
pub(super) struct World<'a> {
    pub(super) shape: &'a Shape,
    pub(super) rules: &'a Rules,
    pub(super) arrivals: &'a [Arrival],
    pub(super) seed: u64,
    pub(super) now: Duration,
    pub(super) events: BinaryHeap<Reverse<(Duration, u64, Event)>>,
    pub(super) sequence: u64,
    pub(super) machines: Vec<Machine>,
    pub(super) lives: Vec<u32>,
    pub(super) routers: Vec<Replica>,
    pub(super) jobs: Vec<Job<'a>>,
    pub(super) legs: Legs,
    pub(super) open: usize,
    pub(super) course: Course,
}

impl<'a> World<'a> {
    pub(super) fn new(
        shape: &'a Shape,
        rules: &'a Rules,
        arrivals: &'a [Arrival],
        seed: u64,
    ) -> Self {
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

    /// Something will happen at a moment.
    pub(super) fn at(&mut self, at: Duration, event: Event) {
        self.sequence += 1;
        self.events.push(Reverse((at, self.sequence, event)));
    }

    /// A request is over.
    pub(super) fn end(&mut self, id: JobId, whole: bool) {
        let now = self.now;
        let job = &mut self.jobs[id];
        if job.ended.is_none() {
            job.end(whole, &self.routers[job.router].memory, now);
            self.open -= 1;
        }
    }
}
