//! Runs the engine in real time: one task steps it, and requests reach it through a short lock.
//!
//! A step ends when the model says, not when the timer fires. The next step starts at the end of the last one, so a
//! timer that is late by a millisecond does not slow the engine down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::engine::request::{AddError, Event, Request, RequestId, Time};
use crate::lock::lock;
use crate::outbox::{Outbox, Output};

/// The wall-clock lateness up to which the engine catches up. Timers and a busy machine delay it by milliseconds; a
/// stopped process by seconds. After such a stop a real engine has lost the time, and so does this one. Half of it
/// would lose time on a busy machine; twice would replay part of a stop in a burst.
const CATCH_UP: Duration = Duration::from_millis(250);

/// Whether the engine steps, and for how long.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Running,
    /// Steps until this many more tokens are written, then pauses.
    RunningFor(u64),
    Paused,
    Dead,
}

/// The engine with all that its task needs to step it and to deliver its events.
#[derive(Debug)]
struct Stepper {
    engine: Engine,
    readers: HashMap<RequestId, (Arc<Outbox>, usize)>,
    next_id: RequestId,
    mode: Mode,
    /// [`CATCH_UP`], in engine time.
    catch_up: Time,
    events: Vec<Event>,
}

/// What the task that steps the engine does next.
enum Next {
    /// Lets the readers run, then continues at once.
    Yield,
    Wait(Option<Time>),
    Stop,
}

/// A handle on a running engine.
#[derive(Clone, Debug)]
pub(crate) struct Driver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    stepper: Mutex<Stepper>,
    wake: Notify,
    clock: Clock,
}

/// The engine requests of one HTTP request. Dropping it aborts those that have not finished.
#[derive(Debug)]
pub(crate) struct Ticket {
    driver: Driver,
    pub(crate) ids: Vec<RequestId>,
    pub(crate) outbox: Arc<Outbox>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut stepper = self.driver.stepper();
        for id in &self.ids {
            if stepper.readers.remove(id).is_some() {
                stepper.engine.abort(*id);
            }
        }
    }
}

/// Why requests were not submitted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubmitError {
    Refused(AddError),
    Dead,
}

impl Driver {
    pub(crate) fn new(engine: Engine, clock: Clock) -> Self {
        let stepper = Stepper {
            engine,
            readers: HashMap::new(),
            next_id: 1,
            mode: Mode::Running,
            catch_up: clock.engine_span(CATCH_UP),
            events: Vec::new(),
        };
        Self(Arc::new(Shared { stepper: Mutex::new(stepper), wake: Notify::new(), clock }))
    }

    pub(crate) fn clock(&self) -> Clock {
        self.0.clock
    }

    fn stepper(&self) -> MutexGuard<'_, Stepper> {
        lock(&self.0.stepper)
    }

    /// Calls `f` with the engine, between steps or during one, and with the current engine time.
    pub(crate) fn with_engine<T>(&self, f: impl FnOnce(&mut Engine, Time) -> T) -> T {
        let now = self.0.clock.now();
        f(&mut self.stepper().engine, now)
    }

    /// Ends a lease and wakes the engine, since requests may wait for its blocks.
    pub(crate) fn release(&self, id: RequestId) {
        if self.stepper().engine.release(id) {
            self.0.wake.notify_one();
        }
    }

    /// Submits the choices of one HTTP request, all of them or none, and assigns their ids.
    pub(crate) fn submit(&self, requests: Vec<Request>) -> Result<Ticket, SubmitError> {
        let now = self.0.clock.now();
        let outbox = Arc::new(Outbox::default());
        let mut ticket =
            Ticket { driver: self.clone(), ids: Vec::new(), outbox: Arc::clone(&outbox) };
        for (choice, request) in requests.into_iter().enumerate() {
            // The lock is released between choices because a refusal drops the ticket, which takes the lock.
            let mut stepper = self.stepper();
            if stepper.mode == Mode::Dead {
                return Err(SubmitError::Dead);
            }
            let id = stepper.next_id;
            stepper.next_id += 1;
            let added = stepper.engine.add(now, Request { id, ..request });
            if added.is_ok() {
                stepper.readers.insert(id, (Arc::clone(&outbox), choice));
            }
            drop(stepper);
            added.map_err(SubmitError::Refused)?;
            ticket.ids.push(id);
        }
        self.0.wake.notify_one();
        Ok(ticket)
    }

    /// Stops stepping. Tokens of the step in flight are not delivered.
    pub(crate) fn pause(&self) {
        self.set_mode(Mode::Paused);
    }

    /// Stops stepping once `tokens` more are written, counted over all streams.
    pub(crate) fn pause_after(&self, tokens: u64) {
        self.set_mode(if tokens == 0 { Mode::Paused } else { Mode::RunningFor(tokens) });
    }

    pub(crate) fn resume(&self) {
        self.set_mode(Mode::Running);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.stepper().mode == Mode::Paused
    }

    /// Ends the engine for good and fails every request in it.
    pub(crate) fn die(&self) {
        self.set_mode(Mode::Dead);
        let readers = std::mem::take(&mut self.stepper().readers);
        for (id, (outbox, _)) in readers {
            self.stepper().engine.abort(id);
            outbox.push(Output::Failed);
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.stepper().mode == Mode::Dead
    }

    fn set_mode(&self, mode: Mode) {
        let mut stepper = self.stepper();
        // A crashed engine never comes back, as the process of a real one would not.
        if stepper.mode != Mode::Dead {
            stepper.mode = mode;
        }
        drop(stepper);
        self.0.wake.notify_one();
    }

    /// Steps the engine until it dies.
    pub(crate) async fn run(self) {
        loop {
            let next = self.stepper().advance(self.0.clock.now());
            match next {
                Next::Yield => tokio::task::yield_now().await,
                Next::Wait(None) => self.0.wake.notified().await,
                Next::Wait(Some(time)) => {
                    tokio::select! {
                        () = sleep_until(self.0.clock.instant(time)) => {}
                        () = self.0.wake.notified() => {}
                    }
                }
                Next::Stop => return,
            }
        }
    }
}

impl Stepper {
    /// Carries out everything that is due by `now`.
    fn advance(&mut self, now: Time) -> Next {
        loop {
            match self.mode {
                Mode::Dead => return Next::Stop,
                Mode::Paused => return Next::Wait(None),
                Mode::Running | Mode::RunningFor(_) => {}
            }
            let Some(end) = self.engine.step_ends_at() else {
                self.engine.expire_leases(now);
                match self.engine.begin_step(now) {
                    // The step may take no time, so its end is checked at once.
                    Some(_) => continue,
                    None => return Next::Wait(self.engine.wakes_at()),
                }
            };
            if end > now {
                return Next::Wait(Some(end));
            }
            self.engine.finish_step(&mut self.events);
            self.deliver();
            // The next step begins where the last one ended, so that late timers add no time.
            let from = if now - end > self.catch_up { now } else { end };
            // A step that takes no time ends at once. Without the yield such an engine would starve its readers.
            if self.mode == Mode::Paused || self.engine.begin_step(from) == Some(from) {
                return Next::Yield;
            }
        }
    }

    /// Delivers events to the outboxes of their requests.
    fn deliver(&mut self) {
        let Self { events, readers, mode, .. } = self;
        let mut events = events.drain(..).peekable();
        while let Some(event) = events.next() {
            match event {
                Event::PrefillDone { id, prefilled } => {
                    if let Some((outbox, choice)) = readers.get(&id) {
                        outbox.push(Output::Prefilled(*choice, prefilled));
                    }
                }
                Event::Token { id, token } => {
                    // The client of an aborted request has left during the step.
                    let Some((outbox, choice)) = readers.get(&id) else { continue };
                    // The last token and the end form one output. A reader on another thread could otherwise see a
                    // token without knowing that it is the last one.
                    let end = match events.peek() {
                        Some(Event::Finished { id: ended, finish }) if *ended == id => {
                            Some(finish.clone())
                        }
                        _ => None,
                    };
                    *mode = mode.after_token();
                    outbox.push(Output::Token(*choice, token, end));
                }
                Event::Finished { id, .. } => {
                    readers.remove(&id);
                }
            }
        }
    }
}

impl Mode {
    fn after_token(self) -> Self {
        match self {
            Self::RunningFor(0 | 1) => Self::Paused,
            Self::RunningFor(tokens) => Self::RunningFor(tokens - 1),
            mode => mode,
        }
    }
}
