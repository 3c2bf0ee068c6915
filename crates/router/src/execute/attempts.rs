//! Carrying out plans until one succeeds: the fallback ladder. Nothing is lost that could be served.
//!
//! Prefill fails → another prefill endpoint → whole on a decoding endpoint. Decoding fails before the first byte →
//! whole on another. A request waits for its turn once, before its first plan. Further attempts spend the route's retry budget; what an endpoint answered with 4xx is final, but
//! for 429.

use std::rc::Rc;
use std::sync::Arc;

use bytes::Bytes;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode};
use qoe_core::endpoint::EndpointState;
use qoe_core::plan::{Choice, Demand, Plan, Reason, Scope, Tried, plan};
use qoe_core::request::analyze::{Api, WholeReason};

use crate::accept::listener::Worker;
use crate::answer::relay::{Relay, Tap};
use crate::answer::reply::Reply;
use crate::failure::Failure;
use crate::headers;
use crate::shared::body_memory::Reserved;
use crate::ticket::Ticket;
use crate::upstream::connection::UpstreamError;
use crate::upstream::exchange::Exchange;

/// What a client asked, ready to be sent on.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: PathAndQuery,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
    /// The API of a generation request.
    pub(crate) generate: Option<Api>,
    /// Endpoints, as indices into the route's pool, that alone may serve it; tried in turn. Empty: by plan.
    pub(crate) pinned: Vec<usize>,
    /// Responses of this call are stored at the endpoint that makes them.
    pub(crate) stores: bool,
    /// The client wants to know the plan.
    pub(crate) explain: bool,
    /// The memory its body holds.
    pub(crate) _reserved: Reserved,
}

/// An endpoint's answer, begun.
pub(super) struct Answered {
    pub(super) head: http::response::Parts,
    pub(super) exchange: Exchange,
    pub(super) first: Option<Bytes>,
    pub(super) endpoint: Arc<EndpointState>,
}

/// Why a plan was not carried out, and what may follow.
pub(super) enum Setback {
    /// Nothing more.
    Final(Failure),
    /// Another attempt, if the budget allows.
    Another(Failure),
    /// Another attempt, which is paid for already.
    Replan(Failure),
    /// The same without a handoff; nothing was lost but time.
    Whole(Reason),
}

impl Setback {
    /// Whether a decoding endpoint may have said this because the KV cache it was promised did not come.
    pub(super) fn may_be_the_kv(&self) -> bool {
        match self {
            Self::Another(Failure::Upstream { error, .. }) => {
                matches!(error, UpstreamError::ErrorEvent)
            }
            Self::Another(Failure::Answered { answer, .. }) => {
                answer.status == StatusCode::INTERNAL_SERVER_ERROR
            }
            _ => false,
        }
    }
}

/// Serves a call on its ticket's route.
pub(crate) async fn serve(worker: &Rc<Worker>, call: Call, mut ticket: Ticket) -> Response<Reply> {
    let mut attempts =
        Attempts { worker, call: &call, ticket: &mut ticket, tried: Tried::default(), whole: None };
    match attempts.run().await {
        Ok(answered) => reply(worker, &call, ticket, answered),
        Err(failure) => {
            ticket.failed(&failure);
            let mut response = failure.into_response();
            explain(&mut response, &call, &ticket);
            response
        }
    }
}

/// The client's answer, relayed from the endpoint's.
fn reply(
    worker: &Rc<Worker>,
    call: &Call,
    mut ticket: Ticket,
    answered: Answered,
) -> Response<Reply> {
    let Answered { mut head, exchange, first, endpoint } = answered;
    headers::strip_hop_by_hop(&mut head.headers);
    // Not the endpoint's: to an HTTP/1.0 answer a client could not tell a break from an end.
    head.version = http::Version::HTTP_11;
    ticket.answered(head.status);
    if call.stores {
        let first = first.as_deref().unwrap_or_default();
        worker.shared.stored.learn(first, &endpoint.name);
    }
    let tap = match call.generate {
        _ if headers::is_event_stream(&head.headers) => {
            head.headers.remove(http::header::CONTENT_LENGTH);
            Tap::events(call.generate.is_some())
        }
        Some(_) => Tap::whole(),
        None => Tap::Nothing,
    };
    let mut response = Response::from_parts(head, Reply::empty());
    explain(&mut response, call, &ticket);
    let relay = Relay::new(exchange, first, tap, ticket, endpoint, Rc::clone(&worker.pool));
    *response.body_mut() = Reply::Relay(Box::new(relay));
    response
}

fn explain(response: &mut Response<Reply>, call: &Call, ticket: &Ticket) {
    if !call.explain {
        return;
    }
    for (name, value) in ticket.explained() {
        if let Some(value) = value.and_then(|value| HeaderValue::try_from(value).ok()) {
            response.headers_mut().insert(name, value);
        }
    }
}

pub(super) struct Attempts<'a> {
    pub(super) worker: &'a Rc<Worker>,
    pub(super) call: &'a Call,
    pub(super) ticket: &'a mut Ticket,
    pub(super) tried: Tried,
    /// Why no handoff is made any more.
    pub(super) whole: Option<Reason>,
}

impl Attempts<'_> {
    async fn run(&mut self) -> Result<Answered, Failure> {
        self.ticket.route().state.budget.earn();
        if !self.call.pinned.is_empty() {
            return self.pinned().await;
        }
        let mut first = if self.ticket.may_wait() { Some(self.admitted().await?) } else { None };
        let mut last = None;
        loop {
            let choice = match first.take() {
                Some(choice) => choice,
                None => match self.plan() {
                    Some(choice) => self.hold(choice),
                    None => return Err(last.unwrap_or_else(|| self.no_endpoint())),
                },
            };
            let setback = match choice.plan {
                Plan::Local { endpoint } => self.local(endpoint).await,
                Plan::Handoff { prefill, decoding } => self.handoff(prefill, decoding).await,
            };
            match setback {
                Ok(answered) => return Ok(answered),
                Err(Setback::Final(failure)) => return Err(failure),
                Err(Setback::Whole(reason)) => self.whole = Some(reason),
                Err(Setback::Replan(failure)) => last = Some(failure),
                Err(Setback::Another(failure)) if self.may_try_again() => last = Some(failure),
                Err(Setback::Another(failure)) => return Err(failure),
            }
        }
    }

    /// The next plan, over what was not tried in vain.
    pub(super) fn plan(&self) -> Option<Choice> {
        let route = self.ticket.route();
        let asked = self.ticket.asked();
        let one = self.call.generate.is_none().then_some(Reason::Whole(WholeReason::OtherApi));
        let demand = Demand {
            model: asked.analysis.model.as_deref(),
            phase: asked.analysis.phase,
            prompt_tokens: asked.prompt_tokens,
            expected_output_tokens: asked.analysis.expected_output_tokens,
            output_tokens: asked.output_tokens,
            blocks: &asked.blocks,
            block_tokens: asked.block_tokens,
            target: route.target(&asked.analysis),
            waited: self.ticket.waited(),
            whole: one.or(asked.analysis.whole.map(Reason::Whole)).or(self.whole),
        };
        let scope = Scope {
            pool: &route.pool,
            policy: &route.policy,
            handoff: route.handoff,
            memory: &route.state.memory,
            tried: &self.tried,
            now: self.ticket.now(),
        };
        plan(&scope, &demand, &mut *self.worker.rng.borrow_mut())
    }

    /// The plan is carried out from now on: its endpoints are held.
    pub(super) fn hold(&mut self, choice: Choice) -> Choice {
        let route = Arc::clone(self.ticket.route());
        let state = |i: usize| &route.pool[i].state;
        let prefill = match choice.plan {
            Plan::Local { .. } => None,
            Plan::Handoff { prefill, .. } => Some(state(prefill)),
        };
        let why = (choice.reason, choice.forecast);
        self.ticket.planned(why, prefill, state(choice.plan.answering()));
        choice
    }

    pub(super) fn no_endpoint(&self) -> Failure {
        Failure::NoEndpoint { route: self.ticket.route().name.to_string() }
    }

    pub(super) fn may_try_again(&self) -> bool {
        let now = self.ticket.now();
        self.ticket.route().state.budget.spend(now)
    }

    /// Only these may serve it: each in turn, until one knows of it.
    async fn pinned(&mut self) -> Result<Answered, Failure> {
        let mut last = Failure::NoStoredResponse;
        for (tried, &endpoint) in self.call.pinned.iter().enumerate() {
            if tried > 0 && !self.may_try_again() {
                break;
            }
            let plan = Plan::Local { endpoint };
            self.hold(Choice { plan, reason: Reason::StoredResponse, forecast: None });
            match self.local(endpoint).await {
                Ok(answered) => return Ok(answered),
                Err(Setback::Final(failure)) if failure.status() != StatusCode::NOT_FOUND => {
                    return Err(failure);
                }
                Err(
                    Setback::Final(failure) | Setback::Another(failure) | Setback::Replan(failure),
                ) => last = failure,
                Err(Setback::Whole(_)) => {}
            }
        }
        Err(last)
    }
}
