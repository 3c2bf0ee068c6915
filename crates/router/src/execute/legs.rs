//! The exchanges with endpoints that a plan is made of.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST};
use http::{HeaderValue, Request, StatusCode};
use qoe_core::endpoint::state::{EndpointState, Scheduling};
use qoe_core::phase::Role;
use qoe_core::plan::reason::Reason;
use qoe_core::request::splice::{Legs, Segments};
use qoe_core::response::usage::{kv_params_of, usage_of};
use tokio::time::timeout;

use crate::execute::attempts::Attempts;
use crate::execute::first_bytes::first_bytes;
use crate::execute::setback::{Answered, Party, Setback};
use crate::failure::{Answer, Failure};
use crate::headers;
use crate::upstream::connection::Connection;
use crate::upstream::error::{Unsent, UpstreamError};
use crate::upstream::exchange::{Exchange, read_all};
use crate::upstream::leg::Leg;

/// Largest answer of a prefill leg: one token and its parameters.
const MAX_PREFILL_ANSWER: usize = 4 << 20;
/// Largest error body that is kept to be passed on.
const MAX_ERROR_BODY: usize = 256 * 1024;
/// An error's body must come within this.
const ERROR_BODY_WITHIN: Duration = Duration::from_secs(10);

impl Attempts<'_> {
    /// One endpoint serves the whole request.
    pub(super) async fn local(&mut self, endpoint: usize) -> Result<Answered, Setback> {
        let state = Arc::clone(&self.ticket.route().pool[endpoint].state);
        self.ticket.sent();
        let leg = self.legs_to(&state).whole();
        let answered = self.answer(Party::decoding(&state, false), leg).await;
        answered.inspect_err(|_| self.tried.endpoints.push(endpoint))
    }

    /// Prefill on one endpoint, decoding on another.
    pub(super) async fn handoff(
        &mut self,
        prefill: usize,
        decoding: usize,
    ) -> Result<Answered, Setback> {
        let route = Arc::clone(self.ticket.route());
        let (from, to) = (&route.pool[prefill].state, &route.pool[decoding].state);
        let params = match self.prefill(prefill).await {
            Err(Setback::Another(failure)) => {
                self.tried.prefill.push(prefill);
                // Without another prefill endpoint, or budget for it, decoding serves it whole: no extra attempt.
                return match self.another_prefill() && self.may_try_again() {
                    true => Err(Setback::Replan(failure)),
                    false => Err(Setback::Whole(Reason::PrefillFailed)),
                };
            }
            params => params?,
        };
        self.ticket.sent();
        let leg = self.legs_to(to).decoding(&params);
        let answered = self.answer(Party::decoding(to, true), leg).await;
        let worked = match &answered {
            Ok(_) => Some(true),
            Err(setback) if setback.could_be_kv_failure() => Some(false),
            Err(_) => None,
        };
        let distrusted =
            worked.and_then(|worked| from.health.kv_handed_over(worked, self.ticket.now()));
        if let Some(time) = distrusted {
            tracing::warn!(
                route = %self.ticket.route().name,
                endpoint = %from.name,
                for_s = time.as_secs(),
                "KV caches from here could not be used again and again; nothing is handed over from here for a while"
            );
        }
        answered.inspect_err(|_| {
            // Whichever of the two is at fault: the next attempt needs neither's KV cache.
            self.tried.endpoints.push(decoding);
            self.whole = Some(Reason::HandoffFailed);
        })
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

    /// Whether there is a prefill endpoint that was not tried yet.
    fn another_prefill(&self) -> bool {
        let now = self.ticket.now();
        self.ticket.route().pool.iter().enumerate().any(|(i, endpoint)| {
            endpoint.role == Role::Prefill
                && !self.tried.prefill.contains(&i)
                && !endpoint.state.health.ejected(now)
        })
    }

    /// The prefill leg; what it answers for the decoding leg.
    async fn prefill(&mut self, prefill: usize) -> Result<Bytes, Setback> {
        let route = Arc::clone(self.ticket.route());
        let endpoint = &route.pool[prefill];
        let Some(request_params) = endpoint.connector.prefill_params() else {
            return Err(Setback::Whole(Reason::NoPair));
        };
        let leg = self.legs_to(&endpoint.state).prefill(request_params);
        self.ticket.prefill_sent();
        let party = Party::prefill(&endpoint.state);
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
            Err(incomplete) => {
                if let Some(time) = endpoint.state.health.distrust_kv(self.ticket.now()) {
                    tracing::warn!(
                        route = %route.name,
                        endpoint = %endpoint.state.name,
                        %incomplete,
                        for_s = time.as_secs(),
                        "prefill gave no usable KV parameters; nothing is handed over from here for a while"
                    );
                }
                Err(Setback::Whole(Reason::KvParamsMissing))
            }
        }
    }

    /// The leg that answers: waits for its head, and for the first bytes of a stream, so that a failure until then
    /// can still be mended.
    async fn answer(&mut self, party: Party<'_>, leg: Segments) -> Result<Answered, Setback> {
        let timeouts = self.ticket.route().timeouts;
        let streamed = self.ticket.asked().analysis.stream;
        let limit = if streamed { timeouts.first_token } else { timeouts.answer };
        let begun = within(limit, async {
            let (head, mut exchange) = self.exchange(party.endpoint, leg).await?;
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
        Ok(Answered { head, exchange, first, endpoint: Arc::clone(party.endpoint) })
    }

    /// An answer's whole body, of which the connection then goes back to the pool.
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

    /// One request to one endpoint, up to the head of its answer. A pooled connection that its peer has closed in
    /// the meantime is replaced by a new one.
    async fn exchange(
        &self,
        endpoint: &EndpointState,
        leg: Segments,
    ) -> Result<(http::response::Parts, Exchange), UpstreamError> {
        let connect = self.ticket.route().timeouts.connect;
        let mut connection = self.worker.pool.take(&endpoint.authority, connect).await?;
        let mut answer = connection.send(self.request(endpoint, leg.clone())).await;
        if matches!(answer, Err(Unsent::Retry(_))) {
            connection = Connection::open(&endpoint.authority, connect).await?;
            answer = connection.send(self.request(endpoint, leg)).await;
        }
        let (head, body) = answer?.into_parts();
        Ok((head, Exchange::new(connection, body)))
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

    /// An endpoint did not answer: it is told of, and another may.
    fn failed(&self, party: Party<'_>, error: UpstreamError) -> Setback {
        let Party { phase, endpoint, handed_over } = party;
        let route = &self.ticket.route().name;
        let metrics = &self.ticket.route().state.metrics;
        metrics.attempt_failed(&endpoint.name, phase, error.kind());
        let excused = handed_over && matches!(error, UpstreamError::ErrorEvent);
        let ejected = if excused { None } else { endpoint.health.failed(self.ticket.now()) };
        tracing::warn!(
            route = %route,
            endpoint = %endpoint.name,
            phase = phase.as_str(),
            %error,
            ejected_for = ejected.map(|ejected| ejected.as_secs()),
            "an endpoint failed"
        );
        Setback::Another(Failure::Upstream {
            route: route.to_string(),
            phase,
            endpoint: endpoint.name.to_string(),
            error,
        })
    }

    /// An endpoint answered with an error. 4xx is the client's, and final; the rest, and "too many", may be
    /// different elsewhere.
    async fn refused(
        &self,
        party: Party<'_>,
        mut head: http::response::Parts,
        exchange: Exchange,
    ) -> Setback {
        let Party { phase, endpoint, handed_over } = party;
        let is_final =
            head.status.is_client_error() && head.status != StatusCode::TOO_MANY_REQUESTS;
        let reading = within(ERROR_BODY_WITHIN, self.read(endpoint, exchange, MAX_ERROR_BODY));
        let body = match reading.await {
            Ok(body) => body,
            // What is said of a bad request may be too long to keep; that it was bad is enough.
            Err(_) if is_final => Bytes::new(),
            Err(error) => return self.failed(party, error),
        };
        headers::strip_hop_by_hop(&mut head.headers);
        head.headers.remove(CONTENT_LENGTH);
        let status = head.status;
        let answer = Box::new(Answer { status, headers: head.headers, body });
        let route = self.ticket.route().name.to_string();
        let failure =
            Failure::Answered { route, phase, endpoint: endpoint.name.to_string(), answer };
        if is_final {
            return Setback::Final(failure);
        }
        let route = &self.ticket.route().name;
        let metrics = &self.ticket.route().state.metrics;
        metrics.attempt_failed(&endpoint.name, phase, failure.kind());
        // A full queue is no illness.
        let ill = status.is_server_error() && status != StatusCode::SERVICE_UNAVAILABLE;
        if ill {
            let ejected =
                if handed_over { None } else { endpoint.health.failed(self.ticket.now()) };
            tracing::warn!(
                route = %route,
                endpoint = %endpoint.name,
                phase = phase.as_str(),
                status = status.as_u16(),
                ejected_for = ejected.map(|ejected| ejected.as_secs()),
                "an endpoint refused"
            );
        }
        Setback::Another(failure)
    }
}

/// The future's output, or an error after `limit`.
async fn within<T>(
    limit: Duration,
    future: impl Future<Output = Result<T, UpstreamError>>,
) -> Result<T, UpstreamError> {
    timeout(limit, future).await.unwrap_or(Err(UpstreamError::Timeout(limit)))
}
