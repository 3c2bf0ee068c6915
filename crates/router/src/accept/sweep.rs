//! The regular look at everything on a worker that can be idle for too long.

use std::cell::RefCell;
use std::rc::{Rc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::accept::state::{ConnectionState, Limits};
use crate::worker::Worker;
use crate::worker::drain::Lifecycle;

/// The time between two sweeps: limits are kept to the second, upwards. At half, a worker with 10,000 idle
/// connections spends some 0.2 ms a second on it; at double, a drain without requests takes up to 3 s instead of 2.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The client connections of one worker.
#[derive(Debug, Default)]
pub(crate) struct Connections(RefCell<Vec<Weak<ConnectionState>>>);

impl Connections {
    /// Watches this connection until its state is dropped.
    pub(crate) fn watch(&self, state: &Rc<ConnectionState>) {
        self.0.borrow_mut().push(Rc::downgrade(state));
    }

    fn look(&self, limits: Limits, lifecycle: Lifecycle, draining_since: Option<Instant>) {
        self.0.borrow_mut().retain(|connection| {
            let Some(connection) = connection.upgrade() else { return false };
            connection.look(limits, lifecycle, draining_since);
            true
        });
    }
}

/// Sweeps for ever: every second, and whenever the drain takes its next step.
pub(crate) async fn run(worker: Rc<Worker>, connections: Rc<Connections>, limits: Limits) {
    let mut draining_since = None;
    let mut ticks = tokio::time::interval(SWEEP_EVERY);
    loop {
        let lifecycle = worker.drain.lifecycle();
        if lifecycle > Lifecycle::Serving {
            draining_since.get_or_insert_with(Instant::now);
        }
        worker.pool.sweep();
        connections.look(limits, lifecycle, draining_since);
        let next = match lifecycle {
            Lifecycle::Serving => Lifecycle::Draining,
            Lifecycle::Draining | Lifecycle::Closing => Lifecycle::Closing,
        };
        tokio::select! {
            _ = ticks.tick() => {}
            () = worker.drain.reached(next), if lifecycle < next => {}
        }
    }
}
