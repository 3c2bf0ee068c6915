//! The exchanges with endpoints that carry out a plan.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, StatusCode};
use qoe_core::endpoint::state::{EndpointState, Scheduling};
use qoe_core::ladder::setback::LegFailure;
use qoe_core::phase::Phase;
use qoe_core::request::splice::{Legs, Segments};
use qoe_core::response::usage::{kv_params_of, usage_of};
use tokio::time::timeout;

use crate::execute::attempts::Attempts;
use crate::execute::first_bytes::first_bytes;
use crate::execute::setback::{Answered, FailedPlan};
use crate::failure::{Answer, Failure};
use crate::headers;
use crate::upstream::connection::Connection;
use crate::upstream::error::UpstreamError;
use crate::upstream::exchange::{Exchange, read_all};
use crate::upstream::leg::Leg;
use crate::upstream::request::request;

/// Largest answer of a prefill leg: one token and its parameters.
const MAX_PREFILL_ANSWER: usize = 4 << 20;
/// Largest error body that is kept to be passed on.
const MAX_ERROR_BODY: usize = 256 * 1024;
/// An error's body must come within this.
const ERROR_BODY_WITHIN: Duration = Duration::from_secs(10);

/// The endpoint that a leg goes to, and the phase it is for.
#[derive(Clone, Copy)]
struct Party<'a> {
    phase: Phase,
    endpoint: &'a Arc<EndpointState>,
}

impl Attempts<'_> {
    /// One endpoint serves the whole request.
    pub(super) async fn local(&mut self, endpoint: usize) -> Result<Answered, FailedPlan> {
        let endpoint = Arc::clone(&self.ticket.route().pool[endpoint].state);
        self.ticket.sent();
        let leg = self.legs_to(&endpoint).whole();
        self.answer(&endpoint, leg).await
    }

    /// Prefill on one endpoint, decoding on another.
    pub(super) async fn handoff(
        &mut self,
        prefill: usize,
        decoding: usize,
    ) -> Result<Answered, FailedPlan> {
        let params = self.prefill(prefill).await?;
        let decoding = Arc::clone(&self.ticket.route().pool[decoding].state);
        self.ticket.sent();
        let leg = self.legs_to(&decoding).decoding(&params);
        self.answer(&decoding, leg).await
    }

    /// The bodies of legs to this endpoint.
    fn legs_to(&self, endpoint: &EndpointState) -> Legs<'_> {
        let by_priority = endpoint.scheduling() == Scheduling::Priority;
        Legs {
            body: &self.call.body,
            analysis: &self.ticket.asked().analysis,
            by_priority: by_priority && self.call.generate.is_some(),
        }
    }

    /// Carries out the prefill leg. Returns the KV parameters for the decoding leg.
    async fn prefill(&mut self, prefill: usize) -> Result<Bytes, FailedPlan> {
        let route = Arc::clone(self.ticket.route());
        let endpoint = &route.pool[prefill];
        let Some(request_params) = endpoint.connector.prefill_params() else {
            return Err(FailedPlan::NoConnector);
        };
        let leg = self.legs_to(&endpoint.state).prefill(request_params);
        self.ticket.prefill_sent();
        let party = Party { phase: Phase::Prefill, endpoint: &endpoint.state };
        let answer = within(route.timeouts.prefill, async {
            let (head, exchange) = self.exchange(&endpoint.state, leg).await?;
            if !head.status.is_success() {
                return Ok(Err((head, exchange)));
            }
            self.read(&endpoint.state, exchange, MAX_PREFILL_ANSWER).await.map(Ok)
        });
        let answer = match answer.await.map_err(|error| self.failed(party, error))? {
            Ok(answer) => answer,
            Err((head, exchange)) => return Err(self.refused(party, head, exchange).await),
        };
        self.ticket.prefill_done(&endpoint.state);
        if let Some(usage) = usage_of(&answer) {
            let prompt_bytes = self.ticket.asked().analysis.prompt_bytes;
            route.state.counted(prompt_bytes, usage.prompt_tokens);
        }
        let params = kv_params_of(&answer).unwrap_or(b"null");
        match endpoint.connector.check(params) {
            Ok(()) => Ok(answer.slice_ref(params)),
            Err(incomplete) => Err(FailedPlan::NoKvParams(incomplete)),
        }
    }

    /// The leg that answers: waits for its head, and for the first bytes of a stream, so that a failure until then
    /// can still be mended.
    async fn answer(
        &mut self,
        endpoint: &Arc<EndpointState>,
        leg: Segments,
    ) -> Result<Answered, FailedPlan> {
        let party = Party { phase: Phase::Decoding, endpoint };
        let timeouts = self.ticket.route().timeouts;
        let streamed = self.ticket.asked().analysis.stream;
        let limit = if streamed { timeouts.first_token } else { timeouts.answer };
        let begun = within(limit, async {
            let (head, mut exchange) = self.exchange(endpoint, leg).await?;
            let events = headers::is_event_stream(&head.headers);
            let first = match head.status.is_success() {
                true => first_bytes(&mut exchange, events && self.call.generate.is_some()).await?,
                false => None,
            };
            Ok((head, exchange, first))
        });
        let (head, exchange, first) = begun.await.map_err(|error| self.failed(party, error))?;
        if head.status.is_client_error() || head.status.is_server_error() {
            return Err(self.refused(party, head, exchange).await);
        }
        if head.status.is_redirection() && head.status != StatusCode::NOT_MODIFIED {
            return Err(self.failed(party, UpstreamError::Redirect));
        }
        Ok(Answered { head, exchange, first, endpoint: Arc::clone(endpoint) })
    }

    /// Reads an answer's whole body; its connection then goes back to the pool.
    async fn read(
        &self,
        endpoint: &EndpointState,
        exchange: Exchange,
        limit: usize,
    ) -> Result<Bytes, UpstreamError> {
        let (body, exchange) = read_all(exchange, limit).await?;
        if let Some(connection) = exchange.into_idle() {
            self.worker.pool.put(&endpoint.authority, connection);
        }
        Ok(body)
    }

    /// One request to one endpoint, up to the head of its answer.
    async fn exchange(
        &self,
        endpoint: &EndpointState,
        leg: Segments,
    ) -> Result<(http::response::Parts, Exchange), UpstreamError> {
        let authority = &endpoint.authority;
        let connect_within = self.ticket.route().timeouts.connect;
        let open = || Connection::open(authority, connect_within);
        let idle = self.worker.pool.take(authority);
        request(idle, open, || self.request(endpoint, leg.clone())).await
    }

    fn request(&self, endpoint: &EndpointState, leg: Segments) -> Request<Leg> {
        let mut request = Request::new(Leg::from(leg));
        *request.method_mut() = self.call.method.clone();
        *request.uri_mut() = self.call.target.clone().into();
        *request.headers_mut() = self.call.headers.clone();
        let host = HeaderValue::from_str(&endpoint.authority);
        request.headers_mut().insert(HOST, host.expect("an authority is a valid header value"));
        request
    }

    /// The endpoint gave no usable answer.
    fn failed(&self, party: Party<'_>, error: UpstreamError) -> FailedPlan {
        let Party { phase, endpoint } = party;
        let (route, endpoint) = (self.ticket.route().name.to_string(), endpoint.name.to_string());
        FailedPlan::Leg(Failure::Upstream { route, phase, endpoint, error })
    }

    /// The endpoint answered with an error, which is read whole.
    async fn refused(
        &self,
        party: Party<'_>,
        mut head: http::response::Parts,
        exchange: Exchange,
    ) -> FailedPlan {
        let Party { phase, endpoint } = party;
        let status = head.status;
        let reading = within(ERROR_BODY_WITHIN, self.read(endpoint, exchange, MAX_ERROR_BODY));
        let body = match reading.await {
            Ok(body) => body,
            // What is said of a bad request may be too long to keep; that it was bad is enough.
            Err(_) if LegFailure::Status(status.as_u16()).is_final() => Bytes::new(),
            Err(error) => return self.failed(party, error),
        };
        headers::strip_hop_by_hop(&mut head.headers);
        head.headers.remove(CONTENT_LENGTH);
        let answer = Box::new(Answer { status, headers: head.headers, body });
        let (route, endpoint) = (self.ticket.route().name.to_string(), endpoint.name.to_string());
        FailedPlan::Leg(Failure::Answered { route, phase, endpoint, answer })
    }
}

/// The future's output, or an error after `limit`.
async fn within<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    timeout(limit, future).await.unwrap_or(Err(UpstreamError::Timeout(limit)))
}
