//! The engine in real time: one task steps it, requests reach it under one short lock.
//!
//! A step ends when the model says, not when the timer fires: the next one starts at the end of
//! the last, so timers that are late by a millisecond do not slow the engine down.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep_until;

use crate::clock::Clock;
use crate::engine::Engine;
use crate::engine::request::{AddError, Event, Request, RequestId, Time};
use crate::outbox::{Outbox, Output};

/// Lateness, on the wall clock, up to which the engine catches up. Beyond it (a process that was
/// stopped) time is lost, as it would be for a real engine.
const CATCH_UP: Duration = Duration::from_millis(250);

/// Whether the engine steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Running,
    /// Pauses by itself after that many more tokens.
    RunningFor(u64),
    Paused,
    Dead,
}

#[derive(Debug)]
struct State {
    engine: Engine,
    readers: HashMap<RequestId, (Arc<Outbox>, usize)>,
    next_id: RequestId,
    mode: Mode,
    /// [`CATCH_UP`] in engine time.
    catch_up: Time,
    events: Vec<Event>,
}

/// What the engine's task does next.
enum Next {
    /// Let the readers run, then go on at once.
    Yield,
    Wait(Option<Time>),
    Stop,
}

/// A handle on a running engine.
#[derive(Clone, Debug)]
pub(crate) struct Driver(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    state: Mutex<State>,
    wake: Notify,
    clock: Clock,
}

/// Requests in the engine that belong to one HTTP request. Dropped, it aborts those that still run.
#[derive(Debug)]
pub(crate) struct Ticket {
    driver: Driver,
    pub(crate) ids: Vec<RequestId>,
    pub(crate) outbox: Arc<Outbox>,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        let mut state = self.driver.state();
        for id in &self.ids {
            if state.readers.remove(id).is_some() {
                state.engine.abort(*id);
            }
        }
    }
}

/// Why the engine did not take requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum SubmitError {
    Refused(AddError),
    Dead,
}

impl Driver {
    pub(crate) fn new(engine: Engine, clock: Clock) -> Self {
        let state = State {
            engine,
            readers: HashMap::new(),
            next_id: 1,
            mode: Mode::Running,
            catch_up: clock.engine_span(CATCH_UP),
            events: Vec::new(),
        };
        Self(Arc::new(Shared { state: Mutex::new(state), wake: Notify::new(), clock }))
    }

    pub(crate) fn clock(&self) -> Clock {
        self.0.clock
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads or changes the engine between steps.
    pub(crate) fn with_engine<T>(&self, f: impl FnOnce(&mut Engine, Time) -> T) -> T {
        let now = self.0.clock.now();
        f(&mut self.state().engine, now)
    }

    /// Ends a lease; requests that wait for its blocks may start.
    pub(crate) fn release(&self, id: RequestId) {
        if self.state().engine.release(id) {
            self.0.wake.notify_one();
        }
    }

    /// Submits the choices of one HTTP request; all of them or none. Ids are given here.
    pub(crate) fn submit(&self, requests: Vec<Request>) -> Result<Ticket, SubmitError> {
        let now = self.0.clock.now();
        let outbox = Arc::new(Outbox::default());
        let mut ticket =
            Ticket { driver: self.clone(), ids: Vec::new(), outbox: Arc::clone(&outbox) };
        for (choice, request) in requests.into_iter().enumerate() {
            // The lock is let go between choices: a refusal drops the ticket, which locks again.
            let mut state = self.state();
            if state.mode == Mode::Dead {
                return Err(SubmitError::Dead);
            }
            let id = state.next_id;
            state.next_id += 1;
            let added = state.engine.add(now, Request { id, ..request });
            if added.is_ok() {
                state.readers.insert(id, (Arc::clone(&outbox), choice));
            }
            drop(state);
            added.map_err(SubmitError::Refused)?;
            ticket.ids.push(id);
        }
        self.0.wake.notify_one();
        Ok(ticket)
    }

    /// Stops stepping; what is computed stays unsaid.
    pub(crate) fn pause(&self) {
        self.set_mode(Mode::Paused);
    }

    /// Stops stepping after `tokens` more, counted over all streams.
    pub(crate) fn pause_after(&self, tokens: u64) {
        self.set_mode(if tokens == 0 { Mode::Paused } else { Mode::RunningFor(tokens) });
    }

    pub(crate) fn resume(&self) {
        self.set_mode(Mode::Running);
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.state().mode == Mode::Paused
    }

    /// Ends the engine for ever, and every request in it.
    pub(crate) fn die(&self) {
        self.set_mode(Mode::Dead);
        let readers = std::mem::take(&mut self.state().readers);
        for (id, (outbox, _)) in readers {
            self.state().engine.abort(id);
            outbox.push(Output::Failed);
        }
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.state().mode == Mode::Dead
    }

    fn set_mode(&self, mode: Mode) {
        let mut state = self.state();
        if state.mode != Mode::Dead {
            state.mode = mode;
        }
        drop(state);
        self.0.wake.notify_one();
    }

    /// Steps the engine until it dies.
    pub(crate) async fn run(self) {
        loop {
            let next = self.state().advance(self.0.clock.now());
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

impl State {
    /// Does all that is due by `now`.
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
                    Some(_) => continue,
                    None => return Next::Wait(self.engine.wakes_at()),
                }
            };
            if end > now {
                return Next::Wait(Some(end));
            }
            self.engine.finish_step(&mut self.events);
            self.deliver();
            let from = if now - end > self.catch_up { now } else { end };
            if self.mode == Mode::Paused || self.engine.begin_step(from) == Some(from) {
                return Next::Yield;
            }
        }
    }

    /// Hands events to those who wait for them. A last token and the end go together: a reader on
    /// another thread must not see the one without the other.
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
                    let Some((outbox, choice)) = readers.get(&id) else { continue };
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
