//! The ticket: the in-flight record of one request. It settles exactly once, however the request ends: answered,
//! failed, broken off, or dropped. It knows nothing of HTTP but the status, and nothing of connections.

mod ended;
pub(crate) mod planned;
pub(crate) mod queued;
pub(crate) mod routed_request;

#[cfg(test)]
pub(crate) mod fake;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use qoe_core::endpoint::state::EndpointState;
use qoe_core::flight::timings::Outcome;
use qoe_core::flight::{Cargo, Flight, Streamed};
use qoe_core::phase::Phase;
use qoe_core::plan::forecast::Forecast;
use qoe_core::plan::reason::Reason;

use crate::failure::{DRAIN_DEADLINE, Failure};
use crate::observe::record::log;
use crate::routes::route::Route;
use crate::routes::snapshot::Snapshot;
use crate::shared::Shared;
use crate::ticket::ended::{EndedRequest, HowEnded};
use crate::ticket::planned::PlanRecord;
use crate::ticket::queued::Queued;
use crate::ticket::routed_request::RoutedRequest;

/// One request in flight, from its route to the end of its answer.
pub(crate) struct Ticket {
    shared: Arc<Shared>,
    route: Arc<Route>,
    asked: RoutedRequest,
    planned: PlanRecord,
    flight: Flight,
    queued: Queued,
    /// It counts as one of the route's requests in flight.
    entered: bool,
    /// The HTTP status that the client was sent.
    status: Option<u16>,
    settled: bool,
}

impl Ticket {
    /// Opens the ticket of a request that is served at once, or refuses it where the route is full.
    pub(crate) fn open(
        shared: &Arc<Shared>,
        route: &Arc<Route>,
        asked: RoutedRequest,
        began: Duration,
    ) -> Result<Self, Failure> {
        if !route.enter() {
            let (route, limit) = (route.name.to_string(), route.max_in_flight);
            return Err(Failure::TooManyInFlight { route, limit });
        }
        let mut ticket = Self::new(shared, route, asked, began);
        ticket.entered = true;
        Ok(ticket)
    }

    /// Opens the ticket of a request that may wait for its turn.
    pub(crate) fn waiting(
        shared: &Arc<Shared>,
        route: &Arc<Route>,
        asked: RoutedRequest,
        began: Duration,
    ) -> Self {
        let mut ticket = Self::new(shared, route, asked, began);
        ticket.queued.may = true;
        ticket
    }

    fn new(
        shared: &Arc<Shared>,
        route: &Arc<Route>,
        asked: RoutedRequest,
        began: Duration,
    ) -> Self {
        let metrics = &route.state.metrics;
        metrics.ignored_headers.inc_by(u64::from(asked.analysis.ignored_headers));
        let cargo = Cargo {
            prompt_tokens: asked.prompt_tokens,
            output_tokens: asked.output_tokens,
            block_tokens: asked.block_tokens,
            streamed: asked.analysis.stream,
        };
        Self {
            flight: Flight::new(route.target(&asked.analysis), cargo, began),
            shared: Arc::clone(shared),
            route: Arc::clone(route),
            asked,
            planned: PlanRecord::default(),
            queued: Queued::default(),
            entered: false,
            status: None,
            settled: false,
        }
    }

    /// Whether it may wait in the route's queue before its first plan.
    pub(crate) const fn may_wait(&self) -> bool {
        self.queued.may
    }

    /// It begins to wait.
    pub(crate) fn queued(&mut self) {
        self.queued.enter(self.now());
    }

    /// It waits no more.
    pub(crate) fn left_queue(&mut self) {
        self.queued.leave(self.now());
    }

    /// How long it waited, or has waited until now.
    pub(crate) fn queued_for(&self) -> Duration {
        self.queued.time(self.now())
    }

    /// It counts as in flight from now on, if the route has a place.
    pub(crate) fn enter(&mut self) -> bool {
        self.entered = self.entered || self.route.enter();
        self.entered
    }

    /// It does not count as in flight any more.
    pub(crate) fn step_back(&mut self) {
        if std::mem::take(&mut self.entered) {
            self.route.state.in_flight.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Goes on by the latest configuration of its route, if it is still there.
    pub(crate) fn follow(&mut self, snapshot: &Snapshot) {
        let same = |route: &&Arc<Route>| Arc::ptr_eq(&route.state, &self.route.state);
        if let Some(route) = snapshot.routes.iter().find(same) {
            self.route = Arc::clone(route);
        }
    }

    pub(crate) const fn route(&self) -> &Arc<Route> {
        &self.route
    }

    pub(crate) const fn asked(&self) -> &RoutedRequest {
        &self.asked
    }

    pub(crate) fn now(&self) -> Duration {
        self.shared.now()
    }

    /// When it arrived.
    pub(crate) const fn began(&self) -> Duration {
        self.flight.track().began()
    }

    /// How long ago it arrived.
    pub(crate) fn waited(&self) -> Duration {
        self.now().saturating_sub(self.began())
    }

    /// A plan is carried out: its endpoints are held until the next plan or the end.
    pub(crate) fn planned(
        &mut self,
        why: (Reason, Option<Forecast>),
        prefill: Option<&Arc<EndpointState>>,
        decoding: &Arc<EndpointState>,
    ) {
        let (reason, forecast) = why;
        let now = self.now();
        let memory = &self.route.state.memory;
        self.flight.planned(prefill, decoding, forecast, &self.asked.blocks, memory, now);
        self.planned.next(reason, prefill, decoding);
    }

    /// The prefill leg departs.
    pub(crate) fn prefill_sent(&mut self) {
        self.flight.prefill_sent(self.shared.now());
    }

    /// The prefill leg was answered: its endpoint is free, and its seconds are learned.
    pub(crate) fn prefill_done(&mut self, endpoint: &EndpointState) {
        let now = self.shared.now();
        self.flight.prefill_done(endpoint, &self.route.state.memory, now);
        self.route.state.admission.nudge(now);
    }

    /// The leg that answers departs.
    pub(crate) fn sent(&mut self) {
        self.flight.sent(&self.route.state.memory, self.shared.now());
    }

    /// Tokens of the stream passed.
    pub(crate) fn streamed(&mut self, tokens: u32) {
        let state = &self.route.state;
        let Streamed { gap, ttft, ttft_error } =
            self.flight.streamed(tokens, &state.memory, self.shared.now());
        if let Some(gap) = gap {
            state.metrics.itl.observe(gap);
            state.load.tokens(tokens, gap);
        }
        if let Some(ttft) = ttft {
            state.load.first_token(ttft, self.asked.prompt_tokens);
            state.admission.nudge(self.shared.now());
        }
        if let Some(error) = ttft_error {
            state.metrics.ttft_error.observe(error);
        }
    }

    /// The endpoint said how many tokens it read and made.
    pub(crate) fn counted(&mut self, usage: qoe_core::response::usage::Usage) {
        self.flight.counted(usage.completion_tokens);
        self.route.state.counted(self.asked.analysis.prompt_bytes, usage.prompt_tokens);
    }

    /// The client is sent this status.
    pub(crate) const fn answered(&mut self, status: http::StatusCode) {
        self.status = Some(status.as_u16());
    }

    /// The plan as headers, for clients that ask for it: name and value of each.
    pub(crate) fn explained(&self) -> [(&'static str, Option<String>); 9] {
        self.planned.headers(&self.route.name, self.queued_for(), self.flight.forecast())
    }

    /// The request was answered whole, with this status.
    pub(crate) fn succeeded(&mut self) {
        if self.settled {
            return;
        }
        let outcome = match self.status {
            Some(429) => Outcome::Rejected,
            Some(400..=499) => Outcome::ClientError,
            Some(500..) => Outcome::Failure,
            _ => Outcome::Success,
        };
        if let Some(decoding) = &self.planned.decoding
            && outcome == Outcome::Success
        {
            decoding.health.succeeded();
            let state = &self.route.state;
            if let Some(error) = self.flight.answered(&state.memory, self.shared.now()) {
                state.metrics.itl_error.observe(error);
            }
        }
        self.settle(HowEnded { outcome, failure: None, phase: None });
    }

    /// The request failed.
    pub(crate) fn failed(&mut self, failure: &Failure) {
        self.status.get_or_insert(failure.status().as_u16());
        self.settle(HowEnded {
            outcome: failure.outcome(),
            failure: Some(failure.kind()),
            phase: failure.phase(),
        });
    }

    /// The answer broke off after its head was sent.
    pub(crate) fn broke_off(&mut self, failure: &'static str) {
        if self.settled {
            return;
        }
        let phase = Phase::Decoding;
        if let Some(decoding) = &self.planned.decoding {
            decoding.health.failed(self.now());
            self.route.state.metrics.attempt_failed(&decoding.name, phase, failure);
        }
        self.settle(HowEnded {
            outcome: Outcome::Failure,
            failure: Some(failure),
            phase: Some(phase),
        });
    }

    /// The router ended the request, because the drain's deadline has passed.
    pub(crate) fn cut(&mut self) {
        let phase = self.flight.track().phase();
        self.settle(HowEnded {
            outcome: Outcome::Failure,
            failure: Some(DRAIN_DEADLINE),
            phase: Some(phase),
        });
    }

    fn settle(&mut self, end: HowEnded) {
        if std::mem::replace(&mut self.settled, true) {
            return;
        }
        self.step_back();
        self.flight.release();
        let now = self.now();
        let ended = EndedRequest {
            route: &self.route.name,
            asked: &self.asked,
            planned: &self.planned,
            forecast: self.flight.forecast(),
            queued: self.queued.time(now),
            status: self.status,
            timings: self.flight.timings(now),
            end,
        };
        let record = ended.record();
        self.route.state.metrics.ended(&record);
        log(&record);
        self.shared.ring.push(now, record);
        self.route.state.admission.nudge(now);
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.shared.past_deadline.load(Ordering::Relaxed) {
            self.cut();
        }
        let phase = self.flight.track().phase();
        self.settle(HowEnded { outcome: Outcome::ClientGone, failure: None, phase: Some(phase) });
    }
}
